//! What it costs. Run alone, with optimisation:
//! `cargo test --profile quick -p lw-spool -- --ignored --nocapture measure`

use lw_core::UnixMicros;
use lw_store::ledger::Ledger as _;

use super::Place;

/// Nanoseconds that this thread was on a processor.
fn on_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("reads");
    stat.split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .expect("a number")
}

#[test]
#[ignore = "a measurement"]
fn measure_append_and_fold() {
    const REQUESTS: u64 = 40_000;
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    // The kernel brings these numbers up to date every few milliseconds: measure long stretches.
    let before = on_cpu();
    for n in 0..REQUESTS {
        writer
            .append_admission(&place.ids.admission(n, 900_000))
            .expect("is admitted");
        writer
            .append_outcome(&place.ids.outcome(n, 300_000))
            .expect("is taken");
    }
    let append = on_cpu() - before;
    node.spool.sync().expect("syncs");
    let before = on_cpu();
    node.fold.drain().expect("folds");
    let fold = on_cpu() - before;
    let spend = node
        .ledger
        .key_spend(&place.ids.key, UnixMicros(0), UnixMicros(i64::MAX))
        .expect("reads");
    assert_eq!(spend.requests, REQUESTS);
    println!(
        "append: {} ns of CPU per request (2 lines)",
        append / REQUESTS
    );
    println!("fold and ledger: {} ns of CPU per request", fold / REQUESTS);
}
