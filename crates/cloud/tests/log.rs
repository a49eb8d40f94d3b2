//! What the vendor logs at its most talkative. Alone in its process: which log lines are wanted is
//! remembered for the process, so tests beside it would decide.

use std::io;
use std::sync::Arc;

use lw_cloud::AwsCredentials;
use lw_cloud::sigv4::{BEDROCK, BodyHash, Request, Scope, sign};
use lw_core::{Secret, UnixMicros};
use parking_lot::Mutex;

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn signing_logs_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let (secret, token) = (Secret::new("wJalrXUtnFEMI"), Secret::new("FwoGtoken"));
    tracing::subscriber::with_default(subscriber, || {
        let credentials =
            AwsCredentials::new("ASIAEXAMPLE", &secret, Some(&token)).expect("credentials");
        let scope = Scope {
            region: "us-east-1",
            service: BEDROCK,
        };
        let request = Request {
            method: "POST",
            host: "h.test",
            path_and_query: "/x",
            headers: &[("content-type", "application/json")],
            body: BodyHash::of([]),
        };
        sign(&credentials, scope, request, UnixMicros(0)).expect("signed");
    });
    let log = String::from_utf8(log.0.lock().clone()).expect("text");
    assert!(log.contains("h.test"), "it did log: {log}");
    for hidden in [&secret, &token] {
        assert!(!log.contains(hidden.expose()), "{log}");
    }
}
