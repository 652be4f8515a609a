/*
 * The peer of tcp_crr: an epoll server and an epoll client, as one would write them by the manual pages. Connect, one
 * small request, one response, close.
 *
 *   epoll_crr server ADDRESS PORT
 *   epoll_crr client ADDRESS PORT FLOWS SECONDS     prints "transactions_per_second p50_ns"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64
#define EVENTS 256
#define MOST 4000000

static void die(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in address(char **argv) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
  if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) die("address");
  return to;
}

static long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void watch(int epoll, int operation, int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, operation, fd, &event)) die("epoll_ctl");
}

static int server(char **argv) {
  struct sockaddr_in at = address(argv);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at)) die("bind");
  if (listen(listener, 4096)) die("listen");
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
  puts("ready");
  fflush(stdout);
  struct epoll_event events[EVENTS];
  char buffer[4096];
  memset(buffer, 'x', sizeof buffer);
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int accepted;
        while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
          watch(epoll, EPOLL_CTL_ADD, accepted, EPOLLIN);
        continue;
      }
      ssize_t got = read(fd, buffer, sizeof buffer);
      if (got < 0 && errno == EAGAIN) continue;
      if (got > 0 && write(fd, buffer, SIZE) != SIZE) perror("write");
      close(fd);
    }
  }
}

struct flow {
  long began;
  int sent;
};

static struct sockaddr_in to;
static int epoll_of_client;
static struct flow flows[65536];

static void begin(void) {
  long began = now_ns();
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || fd >= 65536) die("socket");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
  flows[fd] = (struct flow){.began = began};
  watch(epoll_of_client, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

static int by_value(const void *a, const void *b) {
  unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
  return (x > y) - (x < y);
}

static int client(char **argv) {
  to = address(argv);
  int count = atoi(argv[4]);
  epoll_of_client = epoll_create1(EPOLL_CLOEXEC);
  unsigned *times = malloc(MOST * sizeof *times);
  long done = 0, start = now_ns(), end = start + (long)(atof(argv[5]) * 1e9);
  for (int i = 0; i < count; i++) begin();
  struct epoll_event events[EVENTS];
  char buffer[4096], request[SIZE];
  memset(request, 'x', SIZE);
  while (now_ns() < end) {
    int ready = epoll_wait(epoll_of_client, events, EVENTS, 1000);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (!flows[fd].sent) {
        if (write(fd, request, SIZE) != SIZE) die("write");
        flows[fd].sent = 1;
        watch(epoll_of_client, EPOLL_CTL_MOD, fd, EPOLLIN);
        continue;
      }
      ssize_t got;
      while ((got = read(fd, buffer, sizeof buffer)) > 0) {}
      if (got < 0 && errno == EAGAIN) continue;
      if (got < 0) die("read");
      if (done < MOST) times[done] = (unsigned)(now_ns() - flows[fd].began);
      done++;
      close(fd);
      begin();
    }
  }
  double seconds = (now_ns() - start) / 1e9;
  long kept = done < MOST ? done : MOST;
  qsort(times, kept, sizeof *times, by_value);
  printf("%.1f %u\n", done / seconds, kept ? times[kept / 2] : 0);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "server")) return server(argv);
  if (argc == 6 && !strcmp(argv[1], "client")) return client(argv);
  fputs("see the comment at the top of epoll_crr.c\n", stderr);
  return 2;
}
