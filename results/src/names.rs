//! The shared vocabulary: workloads, metrics, modes and positions as they appear in `records.csv`.
//!
//! The columns are strings, not closed enums, so that a file written by a newer tool can still be read: an
//! unknown name appears in the report's full table and in no plot.

/// Workload names.
pub mod workload {
    /// One packet at a time through a TUN pair; see [`super::metric::LOOKUP_FIRST_PACKET`].
    pub const PACKET_PROBE: &str = "packet_probe";
    /// One TCP connection, one request, one response, close.
    pub const TCP_CRR: &str = "tcp_crr";
    /// Empty kernel to N x M installed.
    pub const FULL_SYNC_COLD: &str = "full_sync_cold";
    /// N x M installed, then a kube-proxy that starts anew and syncs everything.
    pub const FULL_SYNC_RESTART: &str = "full_sync_restart";
    /// N x M installed, then the full sync that its kube-proxy does again from time to time.
    pub const FULL_SYNC_PERIODIC: &str = "full_sync_periodic";
    /// N x M installed, then one Service added.
    pub const PARTIAL_SYNC_ADD_SERVICE: &str = "partial_sync_add_service";
    /// N x M installed, then one Service removed.
    pub const PARTIAL_SYNC_REMOVE_SERVICE: &str = "partial_sync_remove_service";
    /// N x M installed, then one endpoint replaced by another.
    pub const PARTIAL_SYNC_REPLACE_ENDPOINT: &str = "partial_sync_replace_endpoint";
    /// N x M installed, then a sync that has nothing to change.
    pub const PARTIAL_SYNC_NOOP: &str = "partial_sync_noop";
    /// One rule, element or virtual server added at size N, by one command.
    pub const APPEND: &str = "append";
    /// New connections through an LVS director, by forwarding method ([`super::FORWARDING_MODES`]).
    ///
    /// The response is one segment.
    pub const FORWARDING: &str = "forwarding";
    /// The same with a response of 64 KiB.
    pub const FORWARDING_64K: &str = "forwarding_64k";
    /// All pods of a Deployment replaced, as kube-proxy's loop comes to sync it.
    pub const CHURN_ROLLING_UPDATE: &str = "churn_rolling_update";
    /// The pods of one node lost, and back elsewhere.
    pub const CHURN_NODE_LOSS: &str = "churn_node_loss";
    /// A Deployment that grows from one pod.
    pub const CHURN_SCALE_UP: &str = "churn_scale_up";
    /// Five minutes without a change.
    pub const CHURN_IDLE: &str = "churn_idle";
    /// A load in a closed loop at saturation, by the name of its workload; with `_` and a number behind it an open loop
    /// at so many requests per second.
    pub const LOAD: &str = "load_";
    /// A load while rules change: what happens and the name of its workload come behind it, with a dot between.
    pub const DISRUPTION: &str = "disruption_";
    /// Contenders for the xtables lock while the holder syncs.
    pub const XTABLES_LOCK: &str = "xtables_lock";
    /// A real kube-proxy is started in an empty kernel: a node joins.
    pub const KUBE_PROXY_JOIN: &str = "kube_proxy_join";
    /// A real kube-proxy is started over the rules of its predecessor.
    pub const KUBE_PROXY_RESTART: &str = "kube_proxy_restart";
    /// Changes at a steady rate that a real kube-proxy carries out; the number per second comes behind it.
    pub const KUBE_PROXY_RATE: &str = "kube_proxy_rate_";
    /// The search for the rate up to which it keeps up.
    pub const KUBE_PROXY_KNEE: &str = "kube_proxy_knee";
    /// The API server of a real kube-proxy refuses connections for a while, and comes back with a change.
    pub const KUBE_PROXY_API_AWAY: &str = "kube_proxy_api_away";
    /// The watches of a real kube-proxy end with 410, so that it lists everything anew.
    pub const KUBE_PROXY_RELIST: &str = "kube_proxy_relist";
    /// A UDP Service has other endpoints, while connection tracking holds as many entries as come behind it.
    pub const KUBE_PROXY_CONNTRACK_REPLACED: &str = "kube_proxy_conntrack_replaced_";
    /// The same, and it has no endpoint any more.
    pub const KUBE_PROXY_CONNTRACK_LOST: &str = "kube_proxy_conntrack_lost_";
    /// Changes in the API server, of all kinds together, that a real kube-proxy carries out.
    pub const KUBE_PROXY_CHANGES: &str = "kube_proxy_changes";
    /// Of them: one endpoint replaced by another.
    pub const KUBE_PROXY_REPLACE_ENDPOINT: &str = "kube_proxy_replace_endpoint";
    /// One endpoint added.
    pub const KUBE_PROXY_ADD_ENDPOINT: &str = "kube_proxy_add_endpoint";
    /// One endpoint removed.
    pub const KUBE_PROXY_REMOVE_ENDPOINT: &str = "kube_proxy_remove_endpoint";
    /// One Service added.
    pub const KUBE_PROXY_ADD_SERVICE: &str = "kube_proxy_add_service";
    /// One Service removed.
    pub const KUBE_PROXY_REMOVE_SERVICE: &str = "kube_proxy_remove_service";
    /// All endpoints of one Service replaced.
    pub const KUBE_PROXY_REPLACE_ALL_ENDPOINTS: &str = "kube_proxy_replace_all_endpoints";
    /// All endpoints of one Service replaced by 100 others.
    pub const KUBE_PROXY_HUNDRED_ENDPOINTS: &str = "kube_proxy_hundred_endpoints";
    /// The pods of a Deployment replaced one after another, which a real kube-proxy carries out.
    pub const KUBE_PROXY_ROLLING_UPDATE: &str = "kube_proxy_rolling_update";
    /// Packets of new flows to one Service of a lab, and which endpoints got them: the check before its lookups.
    pub const TRAFFIC_SHARES: &str = "traffic_shares";
}

/// Metric names.
pub mod metric {
    /// `packet_probe`, time: the first packet of a new flow through the whole Service path.
    pub const LOOKUP_FIRST_PACKET: &str = "lookup_first_packet";
    /// `packet_probe`, time: a later packet of a known flow; the control that must stay flat.
    pub const LOOKUP_ESTABLISHED: &str = "lookup_established";
    /// `tcp_crr`, time: from the intended start to the last byte of the response.
    pub const RESPONSE_TIME: &str = "response_time";
    /// `tcp_crr`, per second: completed transactions.
    pub const TRANSACTIONS_PER_SECOND: &str = "transactions_per_second";
    /// `load_*`, time: from the start of a request to its end.
    pub const SERVICE_TIME: &str = "service_time";
    /// `load_*`, count: requests that were due.
    pub const REQUESTS: &str = "requests";
    /// `load_*` and `disruption_*`, count: requests without a response.
    pub const LOST_REQUESTS: &str = "lost_requests";
    /// `load_*_N`, count: requests that began more than 1 ms after they were due; `kube_proxy_rate_*`: changes more than 100 ms.
    pub const LATE_REQUESTS: &str = "late_requests";
    /// `load_*`, time: processor time of the whole machine in programs (client and server included) per answered request.
    pub const REQUEST_CPU_USER: &str = "request_cpu_user";
    /// `load_*`, time: in the kernel on behalf of programs.
    pub const REQUEST_CPU_SYSTEM: &str = "request_cpu_system";
    /// `load_*`, time: in softirq.
    pub const REQUEST_CPU_SOFTIRQ: &str = "request_cpu_softirq";
    /// `load_*`, time: in interrupt handlers.
    pub const REQUEST_CPU_IRQ: &str = "request_cpu_irq";
    /// `load_*`, count: by how many entries connection tracking had grown at the end.
    pub const CONNTRACK_ENTRIES: &str = "conntrack_entries";
    /// `load_*`, count: by how many connections the table of IPVS had grown at the end.
    pub const IPVS_CONNECTIONS: &str = "ipvs_connections";
    /// `load_tcp_stream`, bytes per second, both ways together.
    pub const THROUGHPUT: &str = "throughput";
    /// `disruption_*`, time: response time of requests that were due before the first sync.
    pub const RESPONSE_BEFORE: &str = "response_before";
    /// `disruption_*`, time: response time of requests that were due during a sync, or within 100 ms of its beginning.
    pub const RESPONSE_DURING: &str = "response_during";
    /// `disruption_*`, count: connections that were reset.
    pub const RESET_CONNECTIONS: &str = "reset_connections";
    /// `disruption_*`, time: lost requests over the rate at which they were due.
    pub const BLOCKED_TIME: &str = "blocked_time";
    /// `disruption_*`, time: from when an endpoint's removal was applied until the last new flow to it began.
    pub const STALE_WINDOW: &str = "stale_window";
    /// Syncs and append, time: computing what to send.
    pub const GENERATE: &str = "generate";
    /// Syncs and append, time: from handing the plan over until the kernel has it, tools included.
    pub const APPLY: &str = "apply";
    /// Sync phase, time: creating the canary chains.
    pub const APPLY_CANARY: &str = "apply_canary";
    /// Sync phase, time: ensuring the jumps from the built-in chains.
    pub const APPLY_JUMPS: &str = "apply_jumps";
    /// Sync phase, time: listing what is installed.
    pub const APPLY_LISTING: &str = "apply_listing";
    /// Sync phase, time: the restore (or transaction) itself.
    pub const APPLY_RESTORE: &str = "apply_restore";
    /// Sync phase, time: deleting conntrack entries of UDP Services, one program each.
    pub const APPLY_CONNTRACK: &str = "apply_conntrack";
    /// Sync phase of IPVS, time: sysctls and the dummy device.
    pub const APPLY_SETUP: &str = "apply_setup";
    /// Sync phase of IPVS, time: the ipsets.
    pub const APPLY_SETS: &str = "apply_sets";
    /// Sync phase of IPVS, time: virtual and real servers, over netlink.
    pub const APPLY_SERVERS: &str = "apply_servers";
    /// Sync phase of IPVS, time: the Service addresses on the dummy device.
    pub const APPLY_ADDRESSES: &str = "apply_addresses";
    /// Count: rules installed.
    pub const RULES: &str = "rules";
    /// Count: chains installed.
    pub const CHAINS: &str = "chains";
    /// Count: set or map elements installed, ipset entries included.
    pub const ELEMENTS: &str = "elements";
    /// Count: IPVS virtual servers installed.
    pub const VIRTUAL_SERVERS: &str = "virtual_servers";
    /// Count: IPVS real servers installed, over all virtual servers.
    pub const REAL_SERVERS: &str = "real_servers";
    /// Count: Service addresses on the dummy device.
    pub const BOUND_ADDRESSES: &str = "bound_addresses";
    /// Bytes: sent to the kernel tools.
    pub const BYTES: &str = "bytes";
    /// Cold sync, time (of the row's clock): processor time in programs, over all cores, whosoever's.
    pub const SYNC_CPU_USER: &str = "sync_cpu_user";
    /// Cold sync, time: in the kernel on behalf of programs, and in its own threads.
    pub const SYNC_CPU_SYSTEM: &str = "sync_cpu_system";
    /// Cold sync, time: in softirq.
    pub const SYNC_CPU_SOFTIRQ: &str = "sync_cpu_softirq";
    /// Cold sync, time: in interrupt handlers.
    pub const SYNC_CPU_IRQ: &str = "sync_cpu_irq";
    /// Cold sync, count: context switches of the whole machine.
    pub const CONTEXT_SWITCHES: &str = "context_switches";
    /// Cold sync, bytes: the most memory that one of the programs had in use.
    pub const TOOL_PEAK_RSS: &str = "tool_peak_rss";
    /// Cold sync, bytes: what the kernel's memory had grown by after it.
    pub const KERNEL_MEMORY: &str = "kernel_memory";
    /// `xtables_lock`, time: the whole duration of one contender's `iptables -w 5` command.
    pub const CONTENDER_OPERATION: &str = "contender_operation";
    /// `xtables_lock`, time: how long a contender waited for the lock.
    pub const LOCK_WAIT: &str = "lock_wait";
    /// `xtables_lock`, time: how long a contender held the lock.
    pub const LOCK_HOLD: &str = "lock_hold";
    /// `xtables_lock`, time: how long the syncing holder waited for the lock.
    pub const HOLDER_LOCK_WAIT: &str = "holder_lock_wait";
    /// `xtables_lock`, time: how long the syncing holder held the lock.
    pub const HOLDER_LOCK_HOLD: &str = "holder_lock_hold";
    /// `xtables_lock`, time: the holder's full syncs under contention.
    pub const HOLDER_FULL_SYNC: &str = "holder_full_sync";
    /// `xtables_lock`, time: the holder's partial syncs under contention.
    pub const HOLDER_PARTIAL_SYNC: &str = "holder_partial_sync";
    /// `xtables_lock`, time: how long the programs of full syncs held the lock, per acquisition.
    pub const HOLDER_FULL_SYNC_HOLD: &str = "holder_full_sync_hold";
    /// `xtables_lock`, time: how long the programs of partial syncs held the lock, per acquisition.
    pub const HOLDER_PARTIAL_SYNC_HOLD: &str = "holder_partial_sync_hold";
    /// `xtables_lock`, phase of a full sync's restore, time: from before the program is started until it asks for the lock.
    pub const RESTORE_SPAWN: &str = "restore_spawn";
    /// `xtables_lock`, phase of a full sync's restore, time: waiting for the lock, all tables together.
    pub const RESTORE_LOCK_WAIT: &str = "restore_lock_wait";
    /// `xtables_lock`, phase of a full sync's restore, time: holding the lock, in which tables are parsed and committed.
    pub const RESTORE_HOLD: &str = "restore_hold";
    /// `xtables_lock`, phase of a full sync's restore, time: what is left, between tables and until the program has ended.
    pub const RESTORE_REPLY: &str = "restore_reply";
    /// `xtables_lock`, time: those of [`LOCK_WAIT`] during which a full sync held the lock, longer than a partial one did.
    pub const LOCK_WAIT_FULL_SYNC: &str = "lock_wait_full_sync";
    /// `xtables_lock`, time: those of [`LOCK_WAIT`] during which a partial sync held the lock, longer than a full one did.
    pub const LOCK_WAIT_PARTIAL_SYNC: &str = "lock_wait_partial_sync";
    /// `xtables_lock`, count: commands that gave up waiting, of contenders and of the syncs.
    pub const LOCK_TIMEOUTS: &str = "lock_timeouts";
    /// `xtables_lock`, count: how often a contender or a sync got the lock.
    pub const LOCK_ACQUISITIONS: &str = "lock_acquisitions";
    /// `xtables_lock`, count: acquisitions before which somebody who had begun to wait later got the lock.
    pub const LOCK_OVERTAKEN: &str = "lock_overtaken";
    /// `churn_*`, count: syncs while the scenario lasted.
    pub const SYNCS: &str = "syncs";
    /// `churn_*`, time: all its syncs together.
    pub const BUSY: &str = "busy";
    /// `churn_*`, time: from a change until the sync that carried it had ended; `disruption_*`, time: until the first request
    /// that obeyed it began; `kube_proxy_*`, time: from the API server's event to the first packet that obeyed it.
    pub const PROGRAMMING_LATENCY: &str = "programming_latency";
    /// `kube_proxy_join` and `_restart`, time: from the start of the process until the API server had sent all objects.
    pub const LISTED: &str = "listed";
    /// `kube_proxy_join` and `_restart`, time: from the start of the process to the end of its first sync.
    pub const FIRST_SYNC_ENDED: &str = "first_sync_ended";
    /// `kube_proxy_join`, time: from the start of the process to the first packet that the Service at a position answered.
    pub const FIRST_ANSWER: &str = "first_answer";
    /// `kube_proxy_knee`, per second: the largest rate of changes at which latency did not grow; the note says at which it did.
    pub const KNEE: &str = "knee";
    /// `kube_proxy_api_away` and `_relist`, time: from the end of the outage to the first packet that obeyed a change made meanwhile.
    pub const RECOVERED: &str = "recovered";
    /// `kube_proxy_conntrack_*`, time: from the API server's event to the first packet of an old flow that did not go to an endpoint
    /// which is gone.
    pub const STALE_FLOW_ENDED: &str = "stale_flow_ended";
    /// `kube_proxy_conntrack_*`, count: entries of the node's table when the event came.
    pub const TRACKED_BEFORE: &str = "tracked_before";
    /// `kube_proxy_conntrack_*`, count: entries of the node's table after the clean-up.
    pub const TRACKED_AFTER: &str = "tracked_after";
    /// `kube_proxy_*`, time: between the last packet that did not show what is waited for and the first that did.
    pub const PROBE_RESOLUTION: &str = "probe_resolution";
    /// `kube_proxy_*`, count: packets that were lost on their way to a Service that is there all the time.
    pub const LOST_PACKETS: &str = "lost_packets";
    /// `kube_proxy_join`, time: processor time of the API server, which is svcbench's own, until then.
    pub const API_SERVER_CPU: &str = "api_server_cpu";
    /// `kube_proxy_join` and `_restart`, time: the first sync, as kube-proxy logs it.
    pub const OWN_FIRST_SYNC: &str = "own_first_sync";
    /// `kube_proxy_*`, time: mean of all syncs by kube-proxy's own metric; its number is in the note, as of the next three.
    pub const OWN_SYNC: &str = "own_sync";
    /// `kube_proxy_*`, time: of full syncs.
    pub const OWN_FULL_SYNC: &str = "own_full_sync";
    /// `kube_proxy_*`, time: of partial syncs.
    pub const OWN_PARTIAL_SYNC: &str = "own_partial_sync";
    /// `kube_proxy_*`, time: from a change of endpoints to the end of its sync.
    pub const OWN_NETWORK_PROGRAMMING: &str = "own_network_programming";
    /// `kube_proxy_changes`, time: between the means of `programming_latency` and `own_network_programming`; the note says which is longer.
    pub const OWN_DIFFERENCE: &str = "own_difference";
    /// `kube_proxy_changes`, time: the least mean of `programming_latency` that kube-proxy's own metrics allow: theirs without the
    /// longest sync and the longest way of a change to kube-proxy.
    pub const OWN_LEAST: &str = "own_least_latency";
    /// `kube_proxy_*`, count: syncs and restores that failed, by kube-proxy's own metrics.
    pub const OWN_FAILURES: &str = "own_failures";
    /// `kube_proxy_*`, time: from the last time that a sync of IPv4 was asked for until the end of the one that followed, by
    /// kube-proxy's own metrics.
    pub const OWN_QUEUED: &str = "own_queued";
    /// `kube_proxy_*`, time: mean of its searches for connections that have become stale, each a part of a sync, by its own metric.
    pub const OWN_CONNTRACK: &str = "own_conntrack";
    /// `kube_proxy_*`, count: connections that it deleted as stale, by its own metric.
    pub const OWN_CONNTRACK_DELETED: &str = "own_conntrack_deleted";
    /// `kube_proxy_*`, time (of the row's clock): processor time of the kube-proxy process.
    pub const PROCESS_CPU: &str = "process_cpu";
    /// `kube_proxy_*`, time: of `process_cpu`, in the program; a sample.
    pub const PROCESS_CPU_USER: &str = "process_cpu_user";
    /// `kube_proxy_*`, time: of `process_cpu`, in the kernel; a sample.
    pub const PROCESS_CPU_SYSTEM: &str = "process_cpu_system";
    /// `kube_proxy_conntrack_*`, bytes: memory that the kube-proxy process had in use when the event came.
    pub const PROCESS_RSS_BEFORE: &str = "process_rss_before";
    /// `kube_proxy_*`, bytes: the most memory that it had in use since its start.
    pub const PROCESS_PEAK_RSS: &str = "process_peak_rss";
    /// `kube_proxy_*`, time (of the row's clock): processor time of the programs that it started.
    pub const PROGRAMS_CPU: &str = "programs_cpu";
    /// `kube_proxy_*`, time: of `programs_cpu`, in the programs; a sample.
    pub const PROGRAMS_CPU_USER: &str = "programs_cpu_user";
    /// `kube_proxy_*`, time: of `programs_cpu`, in the kernel; a sample.
    pub const PROGRAMS_CPU_SYSTEM: &str = "programs_cpu_system";
    /// `kube_proxy_*`, bytes: the most memory that one of them had in use.
    pub const PROGRAMS_PEAK_RSS: &str = "programs_peak_rss";
    /// `kube_proxy_*`, count: goroutines at the end.
    pub const GOROUTINES: &str = "goroutines";
    /// `kube_proxy_*`, bytes: Go heap in use at the end.
    pub const HEAP: &str = "heap";
    /// `kube_proxy_*`, time: each program that listed what is installed, from fork to end.
    pub const PROGRAM_LISTING: &str = "program_listing";
    /// `kube_proxy_*`, time: each program that wrote what shall be.
    pub const PROGRAM_WRITING: &str = "program_writing";
    /// `kube_proxy_*`, time: each other program: jumps, canaries, versions, connections.
    pub const PROGRAM_OTHER: &str = "program_other";
    /// `kube_proxy_*`, time: each sync of IPv4, as kube-proxy logs it. Its phases add up to it.
    pub const SYNC_DURATION: &str = "sync_duration";
    /// `kube_proxy_*`, phase of each sync of IPv4, time: no program ran, kube-proxy's own process worked: generating rules, from
    /// 1.37 on listing nftables over netlink, looking for stale connections.
    pub const SYNC_OWN_WORK: &str = "sync_own_work";
    /// `kube_proxy_*`, phase of each sync of IPv4, time: programs that listed what is installed.
    pub const SYNC_LISTING: &str = "sync_listing";
    /// `kube_proxy_*`, phase of each sync of IPv4, time: programs that wrote what shall be, without waiting for the xtables lock.
    pub const SYNC_WRITING: &str = "sync_writing";
    /// `kube_proxy_*`, phase of each sync of IPv4, time: other programs, without waiting for the xtables lock.
    pub const SYNC_OTHER_PROGRAMS: &str = "sync_other_programs";
    /// `kube_proxy_*`, phase of each sync of IPv4, time: programs that waited for the xtables lock.
    pub const SYNC_LOCK_WAIT: &str = "sync_lock_wait";
    /// `kube_proxy_join` of nftables, count: maps and sets without a name that IPv4 has in the kernel, as those by which a Service
    /// chooses among its endpoints.
    pub const ANONYMOUS_MAPS: &str = "anonymous_maps";
    /// `kube_proxy_rolling_update`, count: packets that arrived at an endpoint that was gone, after one had shown that it was.
    pub const STALE_PACKETS: &str = "stale_packets";
    /// `forwarding`, count: packets that reached the director, per connection.
    pub const DIRECTOR_PACKETS_IN: &str = "director_packets_in";
    /// `forwarding`, count: packets that left the director, per connection.
    pub const DIRECTOR_PACKETS_OUT: &str = "director_packets_out";
    /// `forwarding`, bytes that reached the director, per connection.
    pub const DIRECTOR_BYTES_IN: &str = "director_bytes_in";
    /// `forwarding`, bytes that left the director, per connection.
    pub const DIRECTOR_BYTES_OUT: &str = "director_bytes_out";
    /// `forwarding`, time (of the row's clock): what the director's kernel spent, per connection.
    pub const DIRECTOR_CPU: &str = "director_cpu";
    /// `traffic_shares`, count: packets that an endpoint got; one sample for each endpoint of the Service.
    pub const ENDPOINT_PACKETS: &str = "endpoint_packets";
    /// `traffic_shares`, count: millionths, rounded down: the probability of shares at least this uneven if all endpoints are
    /// equally likely ([`crate::stats::uniform_share_p_value`]).
    pub const SHARE_P_VALUE: &str = "share_p_value";
    /// All of them, in the order above.
    pub const ALL: [&str; 117] = [
        LOOKUP_FIRST_PACKET,
        LOOKUP_ESTABLISHED,
        RESPONSE_TIME,
        TRANSACTIONS_PER_SECOND,
        SERVICE_TIME,
        REQUESTS,
        LOST_REQUESTS,
        LATE_REQUESTS,
        REQUEST_CPU_USER,
        REQUEST_CPU_SYSTEM,
        REQUEST_CPU_SOFTIRQ,
        REQUEST_CPU_IRQ,
        CONNTRACK_ENTRIES,
        IPVS_CONNECTIONS,
        THROUGHPUT,
        RESPONSE_BEFORE,
        RESPONSE_DURING,
        RESET_CONNECTIONS,
        BLOCKED_TIME,
        STALE_WINDOW,
        GENERATE,
        APPLY,
        APPLY_CANARY,
        APPLY_JUMPS,
        APPLY_LISTING,
        APPLY_RESTORE,
        APPLY_CONNTRACK,
        APPLY_SETUP,
        APPLY_SETS,
        APPLY_SERVERS,
        APPLY_ADDRESSES,
        RULES,
        CHAINS,
        ELEMENTS,
        VIRTUAL_SERVERS,
        REAL_SERVERS,
        BOUND_ADDRESSES,
        BYTES,
        SYNC_CPU_USER,
        SYNC_CPU_SYSTEM,
        SYNC_CPU_SOFTIRQ,
        SYNC_CPU_IRQ,
        CONTEXT_SWITCHES,
        TOOL_PEAK_RSS,
        KERNEL_MEMORY,
        CONTENDER_OPERATION,
        LOCK_WAIT,
        LOCK_HOLD,
        HOLDER_LOCK_WAIT,
        HOLDER_LOCK_HOLD,
        HOLDER_FULL_SYNC,
        HOLDER_PARTIAL_SYNC,
        HOLDER_FULL_SYNC_HOLD,
        HOLDER_PARTIAL_SYNC_HOLD,
        RESTORE_SPAWN,
        RESTORE_LOCK_WAIT,
        RESTORE_HOLD,
        RESTORE_REPLY,
        LOCK_WAIT_FULL_SYNC,
        LOCK_WAIT_PARTIAL_SYNC,
        LOCK_TIMEOUTS,
        LOCK_ACQUISITIONS,
        LOCK_OVERTAKEN,
        SYNCS,
        BUSY,
        PROGRAMMING_LATENCY,
        LISTED,
        FIRST_SYNC_ENDED,
        FIRST_ANSWER,
        KNEE,
        RECOVERED,
        STALE_FLOW_ENDED,
        TRACKED_BEFORE,
        TRACKED_AFTER,
        PROBE_RESOLUTION,
        LOST_PACKETS,
        API_SERVER_CPU,
        OWN_FIRST_SYNC,
        OWN_SYNC,
        OWN_FULL_SYNC,
        OWN_PARTIAL_SYNC,
        OWN_NETWORK_PROGRAMMING,
        OWN_DIFFERENCE,
        OWN_LEAST,
        OWN_FAILURES,
        OWN_QUEUED,
        OWN_CONNTRACK,
        OWN_CONNTRACK_DELETED,
        PROCESS_CPU,
        PROCESS_CPU_USER,
        PROCESS_CPU_SYSTEM,
        PROCESS_RSS_BEFORE,
        PROCESS_PEAK_RSS,
        PROGRAMS_CPU,
        PROGRAMS_CPU_USER,
        PROGRAMS_CPU_SYSTEM,
        PROGRAMS_PEAK_RSS,
        GOROUTINES,
        HEAP,
        PROGRAM_LISTING,
        PROGRAM_WRITING,
        PROGRAM_OTHER,
        SYNC_DURATION,
        SYNC_OWN_WORK,
        SYNC_LISTING,
        SYNC_WRITING,
        SYNC_OTHER_PROGRAMS,
        SYNC_LOCK_WAIT,
        ANONYMOUS_MAPS,
        STALE_PACKETS,
        DIRECTOR_PACKETS_IN,
        DIRECTOR_PACKETS_OUT,
        DIRECTOR_BYTES_IN,
        DIRECTOR_BYTES_OUT,
        DIRECTOR_CPU,
        ENDPOINT_PACKETS,
        SHARE_P_VALUE,
    ];
}

/// Parts of a sync, as figures and tables call them.
pub mod phase {
    /// kube-proxy's own process, while none of its programs runs.
    pub const GENERATING: &str = "generating";
    /// Programs that list.
    pub const LISTING: &str = "listing";
    /// Waits for the xtables lock.
    pub const LOCK_WAIT: &str = "waiting for the lock";
    /// Programs that write.
    pub const WRITING: &str = "writing";
    /// Other programs.
    pub const OTHER: &str = "other programs";
    /// In the order in which they are drawn.
    pub const ALL: [&str; 5] = [GENERATING, LISTING, LOCK_WAIT, WRITING, OTHER];
}

/// Positions of the Service that is looked up; the empty string where position has no meaning.
pub mod position {
    /// No position.
    pub const NONE: &str = "";
    /// The first Service installed.
    pub const FIRST: &str = "first";
    /// The Service in the middle.
    pub const MIDDLE: &str = "middle";
    /// The last Service installed.
    pub const LAST: &str = "last";
    /// Spread evenly over all Services: a mix, never a headline.
    pub const UNIFORM: &str = "uniform";
    /// An address that is no Service.
    pub const MISS: &str = "miss";
    /// Every valid value of the column.
    pub const ALL: [&str; 6] = [NONE, FIRST, MIDDLE, LAST, UNIFORM, MISS];
}

/// How the note of [`metric::KNEE`] begins where kube-proxy kept up with every rate that could be offered.
pub const LARGEST_OFFERED: &str = "the largest rate that was offered";

/// The controls, cheapest first: nothing, connection tracking only, one plain DNAT rule; one beside whatever else a node has in
/// its kernel, by either variant of iptables.
pub const CONTROLS: [&str; 5] = ["direct", "conntrack", "dnat", "background-legacy", "background-nft"];
/// Names that modes had before, which files of old runs hold, and today's.
pub const OLD_MODES: [(&str, &str); 2] =
    [("neighbours-legacy", "background-legacy"), ("neighbours-nft", "background-nft")];
/// The proxy modes in the order in which reports list them. `ipvs-batched` leaves the same kernel state as `ipvs`,
/// programmed in the best way that the kernel allows instead of kube-proxy's; it has syncs only, because its lookups
/// would be those of `ipvs`.
pub const PROXY_MODES: [&str; 5] = ["iptables-legacy", "iptables-nft", "nftables", "ipvs", IPVS_BATCHED];
/// See [`PROXY_MODES`].
pub const IPVS_BATCHED: &str = "ipvs-batched";
/// LVS forwarding methods, as modes of [`workload::FORWARDING`]: masquerade (NAT) with connection tracking, as
/// kube-proxy has it, and without; direct routing, tunnel (IPIP). Its control is `direct`: the director only routes.
pub const FORWARDING_MODES: [&str; 4] = ["ipvs-nat", "ipvs-nat-untracked", "ipvs-dr", "ipvs-tun"];

/// Today's name of the mode that may be called by an old one.
pub fn current_mode(mode: &str) -> &str {
    OLD_MODES.iter().find(|(old, _)| *old == mode).map_or(mode, |(_, new)| new)
}

/// Sorting rank of a mode: controls, proxy modes, forwarding methods, then anything else. Parts of a sync, which stand in the place
/// of modes where they are drawn, are before that.
pub(crate) fn mode_rank(mode: &str) -> usize {
    let known = CONTROLS.iter().chain(&PROXY_MODES).chain(&FORWARDING_MODES).chain(&phase::ALL);
    known.clone().position(|name| *name == mode).unwrap_or_else(|| known.count())
}

/// Whether `mode` is one of [`CONTROLS`].
pub fn is_control(mode: &str) -> bool {
    CONTROLS.contains(&mode)
}

/// Whether a mode is one of kube-proxy's, as kube-proxy programs it.
pub(crate) fn is_kube_proxy(mode: &str) -> bool {
    PROXY_MODES.contains(&mode) && mode != IPVS_BATCHED
}

/// Whether a Service with one cluster IP and port is exactly one more rule in a list that packets walk: the chain
/// KUBE-SERVICES. A slope per Service is then a slope per rule.
pub fn walks_one_rule_per_service(mode: &str) -> bool {
    matches!(mode, "iptables-legacy" | "iptables-nft")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_metric_is_forgotten() {
        let source = include_str!("names.rs");
        let module = source.split("pub mod metric {").nth(1).unwrap().split("pub const ALL").next().unwrap();
        let values =
            module.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1));
        assert_eq!(values.collect::<Vec<_>>(), metric::ALL);
    }
}
