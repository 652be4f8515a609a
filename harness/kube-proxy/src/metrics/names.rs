//! Names of metrics (pkg/proxy/metrics/metrics.go; the last ones are of every Go program).
//!
//! Since 1.33 those of kube-proxy have the label `ip_family`: `IPv4` or `IPv6`.

/// Histogram, seconds: each sync, of whichever kind.
pub const SYNC_DURATION: &str = "kubeproxy_sync_proxy_rules_duration_seconds";
/// Histogram, seconds: full syncs.
pub const FULL_SYNC_DURATION: &str = "kubeproxy_sync_full_proxy_rules_duration_seconds";
/// Histogram, seconds: partial syncs.
pub const PARTIAL_SYNC_DURATION: &str = "kubeproxy_sync_partial_proxy_rules_duration_seconds";
/// Histogram, seconds: from the annotation `endpoints.kubernetes.io/last-change-trigger-time` of an EndpointSlice to the
/// end of the sync that follows it. Changes from before kube-proxy's start are not counted.
pub const NETWORK_PROGRAMMING: &str = "kubeproxy_network_programming_duration_seconds";
/// Gauge, seconds since 1970: end of the last sync that succeeded. A series appears with the first one.
pub const LAST_SYNC: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
/// Gauge, seconds since 1970: when a sync was last asked for.
pub const LAST_QUEUED: &str = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds";
/// Gauge: changes of endpoints that wait for a sync.
pub const ENDPOINT_CHANGES_PENDING: &str = "kubeproxy_sync_proxy_rules_endpoint_changes_pending";
/// Counter: changes of endpoints.
pub const ENDPOINT_CHANGES: &str = "kubeproxy_sync_proxy_rules_endpoint_changes_total";
/// Gauge: changes of Services that wait for a sync.
pub const SERVICE_CHANGES_PENDING: &str = "kubeproxy_sync_proxy_rules_service_changes_pending";
/// Counter: changes of Services.
pub const SERVICE_CHANGES: &str = "kubeproxy_sync_proxy_rules_service_changes_total";
/// Gauge, by `table`: rules of kube-proxy in the kernel.
pub const IPTABLES_TOTAL: &str = "kubeproxy_sync_proxy_rules_iptables_total";
/// Gauge, by `table`: rules written by the last sync.
pub const IPTABLES_LAST: &str = "kubeproxy_sync_proxy_rules_iptables_last";
/// Counter: runs of iptables-restore that failed.
pub const IPTABLES_FAILURES: &str = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total";
/// Counter: those of partial syncs among them.
pub const IPTABLES_PARTIAL_FAILURES: &str =
    "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total";
/// Counter: syncs of nftables that failed.
pub const NFTABLES_FAILURES: &str = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total";
/// Counter: clean-ups of nftables that failed.
pub const NFTABLES_CLEANUP_FAILURES: &str = "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total";
/// Histogram, seconds: the clean-up of connections that follows a sync.
pub const CONNTRACK_DURATION: &str = "kubeproxy_conntrack_reconciler_sync_duration_seconds";
/// Counter: connections that it deleted.
pub const CONNTRACK_DELETED: &str = "kubeproxy_conntrack_reconciler_deleted_entries_total";

/// Gauge: goroutines.
pub const GOROUTINES: &str = "go_goroutines";
/// Gauge, bytes: heap that is allocated and in use.
pub const HEAP_ALLOCATED: &str = "go_memstats_heap_alloc_bytes";
/// Gauge, bytes: heap in spans that are in use.
pub const HEAP_IN_USE: &str = "go_memstats_heap_inuse_bytes";
/// Gauge, bytes: heap obtained from the system.
pub const HEAP_SYSTEM: &str = "go_memstats_heap_sys_bytes";
/// Gauge: objects on the heap.
pub const HEAP_OBJECTS: &str = "go_memstats_heap_objects";
/// Counter, seconds: processor time of kube-proxy itself, of its programs not.
pub const PROCESSOR_SECONDS: &str = "process_cpu_seconds_total";
/// Gauge, bytes: memory in use.
pub const RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
