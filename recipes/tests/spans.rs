//! Waits and terms as spans. The subscriber is the process's, so this is its only test.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::{DIR, Faulty, server};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// What is logged.
#[derive(Debug, Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Text {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_wait_and_a_term_are_spans() {
    let text = Text::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(text.clone())
        .init();
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    server.expire(client.zk.session().id()).await.unwrap();
    guard.lost().cancelled().await;
    // The span ends with the task, which is joined by nobody.
    let term = format!(
        "term{{zk.path=\"{}\" zk.token={}}}",
        guard.path(),
        guard.token()
    );
    let closed = format!("{term}: zk_recipes: close");
    let read = || String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
    while !read().contains(&closed) {
        tokio::task::yield_now().await;
    }
    let text = read();
    let wait = format!("wait{{zk.path=\"{DIR}\"}}");
    assert!(
        text.contains(&format!("{wait}: zk_recipes: close")),
        "{text}"
    );
    assert!(
        text.contains(&format!("{term}: zk_recipes::term: lost")),
        "{text}"
    );
}
