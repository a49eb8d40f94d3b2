//! Callers that speak HTTP/2 in the clear: the same answers, without the headers that HTTP/2 forbids.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::support::{Gateway, Key, chat, chat_stream, messages, sha256};

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn connect(gateway: &Gateway) -> Sender {
    let tcp = tokio::net::TcpStream::connect(gateway.addr)
        .await
        .expect("a connection");
    let shaken =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await;
    let (sender, connection) = shaken.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

async fn post(
    sender: &Sender,
    path: &str,
    key: &Key,
    body: &Value,
) -> (http::response::Parts, Bytes) {
    let request = http::Request::post(format!("http://gateway{path}"))
        .header("authorization", format!("Bearer {}", key.secret))
        .body(Full::from(body.to_string()))
        .expect("a request");
    let answer = sender
        .clone()
        .send_request(request)
        .await
        .expect("an answer");
    let (parts, body) = answer.into_parts();
    (parts, body.collect().await.expect("a body").to_bytes())
}

#[tokio::test]
async fn http2_in_the_clear_gets_the_same_bytes() {
    let (gateway, mock, key) = Gateway::with_provider();
    let sender = connect(&gateway).await;
    for (path, body) in [
        ("/v1/chat/completions", chat("hi")),
        ("/v1/chat/completions", chat_stream("hi")),
        ("/v1/messages", messages("hi", true)),
    ] {
        let (head, answer) = post(&sender, path, &key, &body).await;
        assert_eq!(
            (head.status.as_u16(), head.version),
            (200, http::Version::HTTP_2)
        );
        assert!(!head.headers.contains_key("connection"), "{head:?}");
        let truth = mock.truth().pop().expect("a generation");
        assert_eq!(sha256(&answer), truth.body_sha256);
    }
    let nobody = Key {
        id: String::new(),
        secret: "nobody".to_owned(),
    };
    let (head, _) = post(&sender, "/v1/chat/completions", &nobody, &chat("hi")).await;
    assert_eq!(head.status.as_u16(), 401);
}

#[tokio::test]
async fn fifty_streams_share_one_http2_connection() {
    let (gateway, mock, key) = Gateway::with_provider();
    let sender = connect(&gateway).await;
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let (sender, key) = (sender.clone(), key.clone());
            tokio::spawn(async move {
                let mut body = chat_stream(&format!("say {number}"));
                body["user"] = Value::from(format!("u{number}"));
                let (_, answer) = post(&sender, "/v1/chat/completions", &key, &body).await;
                (format!("u{number}"), sha256(&answer))
            })
        })
        .collect();
    for call in calls {
        let (user, digest) = call.await.expect("a call");
        let truths = mock.truth();
        let own = truths
            .iter()
            .find(|truth| truth.user.as_ref() == Some(&user));
        assert_eq!(
            own.map(|truth| truth.body_sha256.as_str()),
            Some(digest.as_str()),
            "{user}"
        );
    }
}
