//! Requests as spans. The subscriber is the process's, so this is its only test.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test opens sockets"
)]

mod fake;

use std::io;
use std::sync::{Arc, Mutex};

use fake::Fake;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use zk_client::{ErrorCode, OpCode, Stat};
use zk_proto::Response;

/// What is logged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    pub(crate) fn read(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

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
async fn a_request_is_a_span_with_what_became_of_it() {
    let text = Text::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(text.clone());
    subscriber.init();
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let get = zk.get("/a").submit();
    let (xid, _) = link.expect(OpCode::GET_DATA).await;
    let reply = Response::Data(None, Stat::default());
    link.reply(xid, Ok(reply)).await;
    get.await.unwrap();
    let delete = zk.delete("/b").submit();
    let (xid, _) = link.expect(OpCode::DELETE).await;
    link.reply(xid, Err(ErrorCode::NOT_EMPTY)).await;
    delete.await.unwrap_err();
    let text = text.read();
    let server = fake.address();
    let done = format!(
        "request{{zk.op=\"getData\" zk.path=\"/a\" zk.server={server} zk.xid=1 zk.zxid=101}}: \
         zk_client::request: close"
    );
    assert!(text.contains(&done), "{text}");
    let failed = "zk.op=\"delete\" zk.path=\"/b\"";
    let failed = text.lines().find(|line| line.contains(failed));
    assert!(
        failed
            .unwrap()
            .contains("error=delete \"/b\": the znode has children")
    );
}
