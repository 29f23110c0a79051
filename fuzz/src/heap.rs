//! How much memory something takes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Runs something that may hold so many bytes more than before at any moment.
///
/// # Panics
/// When it held more.
pub fn bounded<T>(bytes_max: usize, run: impl FnOnce() -> T) -> T {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let result = run();
    let grown = HEAP.peak_usage().saturating_sub(before);
    assert!(
        grown <= bytes_max,
        "{grown} bytes were taken, at most {bytes_max} were expected"
    );
    result
}
