// The program runs on jemalloc: glibc's malloc leaves holes between a step's tensors that cost half a gigabyte with SD1.5
// (docs/performance.md). A step takes the same blocks again and again, so freed pages stay ours: giving them back and faulting
// them in anew would take a tenth of the step. MALLOC_CONF overrides this.
extern "C" {
__attribute__((visibility("default"))) const char* malloc_conf = "dirty_decay_ms:-1";
}
