//! What operators and orchestrators do to it: probe it, stop it, start it wrongly, fill its disk, lock its
//! files.

use std::net::TcpListener;
use std::time::Duration;

use lw_core::NanoUsd;
use lw_store::ledger::EntryKind;
use rusqlite::Connection;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    Ask, Conn, Gateway, Refused, chat, chat_stream, eventually, messages, once, price, sha256,
    text, usage, whenever,
};

const CHAT: &str = "/v1/chat/completions";

#[test]
fn probes_answer_without_a_key() {
    let (gateway, _mock, key) = Gateway::with_provider();
    gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    for path in ["/healthz", "/readyz", "/startupz"] {
        let answer = gateway.get(path);
        let body = answer.fine(200);
        assert_eq!(body["status"], "ok", "{path}");
        assert!(
            body["version"].is_string() && body["uptime_s"].is_u64(),
            "{body}"
        );
        assert!(answer.request_id().starts_with("req_"));
    }
    let health = gateway.get("/health");
    let checks = json!({"status": "ok", "checks": {"gateway": "ok", "control_plane": "ok"}});
    assert_eq!(health.fine(200), checks);
    assert_eq!(health.header("cache-control"), Some("no-store"));
    let debug = gateway.get("/debug/control-plane");
    let control = format!("http://{}", gateway.control);
    assert_eq!(debug.fine(200), json!({"control_plane_base_url": control}));
    assert_eq!(debug.header("cache-control"), Some("no-store"));

    // Coding CLIs probe with HEAD on the connection that they use afterwards.
    let mut conn = Conn::open(gateway.addr);
    for path in ["/", "/health", "/healthz"] {
        let answer = conn.call(&Ask::new("HEAD", path));
        assert_eq!((answer.status(), answer.body.len()), (200, 0), "{path}");
    }
    let after = conn.call(&Ask::post(
        "/v1/messages",
        &key.secret,
        messages("hi", false),
    ));
    assert_eq!(after.status(), 200);
    assert!(gateway.get("/").text().contains("LangWatch"));

    eventually("requests are counted", || {
        let metrics = gateway.get("/metrics").text();
        let counted = metrics.lines().any(|line| {
            line.starts_with("gateway_http_requests_total{")
                && line.contains("status=\"200\"")
                && line.contains("route=\"/v1/chat/completions\"")
        });
        assert!(
            !metrics.contains(&key.secret) && !metrics.contains("sk-mock"),
            "{metrics}"
        );
        counted.then_some(())
    });
    for path in ["/healthz", "/readyz", "/api/health", "/"] {
        assert_eq!(
            Conn::open(gateway.control).call(&Ask::get(path)).status(),
            200,
            "{path}"
        );
    }
}

#[test]
fn a_stop_lets_streams_finish_and_puts_everything_away() {
    let builder = Gateway::builder().env("SERVER_DRAIN_DELAY_SECONDS", "1");
    let (mut gateway, mock, key) = builder.with_provider();
    once(
        &mock,
        &json!({"frames": 20, "pace_ms": 100, "text": "a1 b2 c3 d4"}),
    );
    let mut stream = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    let mut seen = stream.until("b2");
    let mut resting = Conn::open(gateway.addr);
    assert_eq!(resting.call(&Ask::get("/readyz")).status(), 200);
    gateway.signal("TERM");
    // Not ready at once, and still serving until the balancer has noticed.
    eventually("not ready", || {
        (gateway.get("/readyz").status() == 503).then_some(())
    });
    assert_eq!(gateway.get("/readyz").json()["status"], "draining");
    assert_eq!(gateway.get("/healthz").status(), 200);
    let late = gateway.call(&Ask::post(CHAT, &key.secret, chat("late")));
    assert_eq!(late.status(), 200, "{}", late.text());
    let addr = gateway.addr;
    eventually("nothing is accepted any more", || {
        Conn::try_open(addr).is_err().then_some(())
    });
    let (rest, whole) = stream.rest();
    seen.extend(rest);
    let truth = mock
        .truth()
        .into_iter()
        .find(|truth| truth.stream)
        .expect("a generation");
    assert!(whole && truth.completed);
    assert_eq!(sha256(&seen), truth.body_sha256, "{}", text(&seen));
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.stderr());
    assert!(!gateway.data().join("listening.json").exists());
    // Everything is on disk when the process is gone: no waiting here.
    let book = gateway.book();
    for id in [stream.request_id(), late.request_id()] {
        let kinds: Vec<EntryKind> = book.entries(&id).iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [EntryKind::Hold, EntryKind::Settle], "{id}");
        assert_eq!(book.trace(&id).http_status, 200);
    }
    book.charged_exactly(&stream.request_id(), "openai", &truth);
}

#[test]
fn the_limit_of_a_drain_cuts_what_is_left_and_bills_it() {
    let builder = Gateway::builder().env("SERVER_GRACEFUL_SECONDS", "1");
    let (mut gateway, mock, key) = builder.with_provider();
    once(
        &mock,
        &json!({"frames": 20, "stall_after_frames": 2, "text": "a1 b2 c3 d4"}),
    );
    let mut stream = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    stream.until("b2");
    assert_eq!(gateway.stop().code(), Some(0));
    let (_, whole) = stream.rest();
    assert!(!whole, "the caller sees that it was cut");
    let entry = gateway.book().ended(&stream.request_id());
    assert!(entry.amount > NanoUsd::ZERO, "{entry:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut gateway, mock, key) = Gateway::with_provider();
    once(
        &mock,
        &json!({"frames": 20, "stall_after_frames": 2, "text": "a1 b2 c3 d4"}),
    );
    let mut stream = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    stream.until("b2");
    gateway.signal("INT");
    eventually("it drains", || {
        gateway
            .stdout()
            .contains("lifecycle_stopping")
            .then_some(())
    });
    gateway.signal("INT");
    assert_eq!(gateway.wait().code(), Some(130));
    // What was promised is in the spool: the next start charges it.
    gateway.restart();
    let entry = gateway.book().ended(&stream.request_id());
    assert!(entry.amount > NanoUsd::ZERO, "{entry:?}");
}

#[test]
fn a_restart_keeps_keys_providers_and_money() {
    let (mut gateway, _mock, key) = Gateway::with_provider();
    let first = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    let spent = gateway.book().ended(&first.request_id()).amount;
    gateway.restart();
    assert!(
        !gateway
            .stderr()
            .split("LangWatch AI gateway")
            .nth(2)
            .unwrap_or_default()
            .contains("first start")
    );
    let second = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    assert_eq!(second.status(), 200, "{}", second.text());
    assert_eq!(gateway.book().ended(&first.request_id()).amount, spent);
    gateway.kill9();
    gateway.restart();
    assert_eq!(
        gateway
            .call(&Ask::post(CHAT, &key.secret, chat("hi")))
            .status(),
        200
    );
    gateway
        .api("GET", &format!("/api/traces/{}", first.request_id()), None)
        .fine(200);
}

#[test]
fn a_folder_in_use_is_refused_to_a_second_process() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let second = gateway.second(&[]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second
            .stderr
            .contains("another langwatch process uses the data folder"),
        "{second:?}"
    );
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    assert_eq!(answer.status(), 200, "the first one goes on");
}

#[test]
fn a_port_in_use_is_refused_even_to_another_of_its_kind() {
    let gateway = Gateway::start();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let (ours, control) = (gateway.addr.to_string(), gateway.control.to_string());
    for (name, addr) in [
        ("SERVER_ADDR", &taken),
        ("SERVER_ADDR", &ours),
        ("LANGWATCH_CONTROL_ADDR", &taken),
        ("LANGWATCH_CONTROL_ADDR", &control),
    ] {
        let refused = Gateway::builder().env(name, addr).try_start().err();
        let Refused { status, stderr } = refused.unwrap_or_else(|| panic!("{name} {addr} started"));
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("in use"), "{name}: {stderr}");
        assert!(
            stderr.contains(addr.as_str()),
            "the address is named: {name}: {stderr}"
        );
    }
}

#[test]
fn a_sealing_key_that_is_lost_or_wrong_refuses_the_start_and_says_what_to_do() {
    let (mut gateway, _mock, key) = Gateway::with_provider();
    assert_eq!(
        gateway
            .call(&Ask::post(CHAT, &key.secret, chat("hi")))
            .status(),
        200
    );
    gateway.stop();
    let path = gateway.data().join("sealing.key");
    let own = std::fs::read_to_string(&path).expect("the sealing key");
    std::fs::remove_file(&path).expect("lost");
    let refused = gateway.relaunch(&[]).expect_err("no key");
    assert!(
        refused.stderr.contains("sealing key is missing"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("CREDENTIALS_SECRET"), "{refused:?}");
    assert!(!path.exists(), "no new key beside old data");

    let other = "ab".repeat(32);
    let refused = gateway
        .relaunch(&[("CREDENTIALS_SECRET", Some(&other))])
        .expect_err("wrong");
    assert!(refused.stderr.contains("not the one"), "{refused:?}");
    assert!(!refused.stderr.contains(&other), "{refused:?}");
    std::fs::write(&path, "zz").expect("damaged");
    let refused = gateway
        .relaunch(&[("CREDENTIALS_SECRET", None)])
        .expect_err("damaged");
    assert!(refused.stderr.contains("64 hexadecimal"), "{refused:?}");

    std::fs::write(&path, &own).expect("restored");
    gateway.relaunch(&[]).expect("it starts again");
    assert_eq!(
        gateway
            .call(&Ask::post(CHAT, &key.secret, chat("hi")))
            .status(),
        200
    );
    gateway.stop();
    // The same key from the environment, for those who keep no secret on the disk.
    std::fs::remove_file(&path).expect("removed");
    gateway
        .relaunch(&[("CREDENTIALS_SECRET", Some(own.trim()))])
        .expect("it starts");
    assert_eq!(
        gateway
            .call(&Ask::post(CHAT, &key.secret, chat("hi")))
            .status(),
        200
    );
}

#[test]
fn a_secret_that_is_set_but_blank_refuses_the_start() {
    for name in [
        "CREDENTIALS_SECRET",
        "LW_VIRTUAL_KEY_PEPPER",
        "LANGWATCH_INIT_API_KEY",
        "LANGWATCH_INIT_ADMIN_PASSWORD",
    ] {
        let builder = Gateway::builder().env(name, "  ");
        let data = builder.data();
        let refused = builder
            .try_start()
            .err()
            .unwrap_or_else(|| panic!("{name} started"));
        assert!(
            refused.stderr.contains(name) && refused.stderr.contains("blank"),
            "{refused:?}"
        );
        assert!(!data.exists(), "{name}: nothing was written");
    }
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let wrong = [
        ("SERVER_ADDR", "here"),
        ("SERVER_MAX_REQUEST_BODY_BYTES", "32MB"),
        ("SERVER_DRAIN_DELAY_SECONDS", "-1"),
        ("LW_GATEWAY_UPSTREAM_HEAD_TIMEOUT_SECONDS", "soon"),
        ("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", "10.0.0.0/33"),
        ("LW_GATEWAY_AUTH_CACHE_SOFT_BUMP", "5m"),
        ("LANGWATCH_INIT_API_KEY", "sk-not-of-this-house-canary"),
        ("LOG_LEVEL", "loud"),
    ];
    let builder = wrong
        .iter()
        .fold(Gateway::builder(), |builder, (name, value)| {
            builder.env(name, value)
        });
    let data = builder.data();
    let refused = builder.try_start().err().expect("it must not start");
    for (name, _) in wrong {
        assert!(refused.stderr.contains(name), "{name}: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    assert!(!data.exists(), "nothing was written");
}

#[test]
fn a_spool_that_is_full_refuses_and_loses_nothing() {
    let builder = Gateway::builder().env("LW_GATEWAY_SPEND_SPOOL_MAX_BYTES", "6000");
    let (gateway, mock, key) = builder.with_provider();
    let first = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    gateway.book().ended(&first.request_id());
    // A stream that is admitted while there is room, and ends when there is none.
    once(
        &mock,
        &json!({"frames": 4, "stall_after_frames": 2, "text": "a1 b2 c3 d4"}),
    );
    let mut open = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    open.until("b2");

    let ledger = Connection::open(gateway.data().join("ledger.db")).expect("the ledger");
    ledger
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the ledger is locked");
    let mut served = vec![first.request_id()];
    let refused = eventually("the spool fills up", || {
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
        if answer.status() == 200 {
            served.push(answer.request_id());
            return None;
        }
        Some(answer)
    });
    assert_eq!(
        refused.code(),
        (503, "budget_unavailable".to_owned()),
        "{}",
        refused.text()
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.json()["error"]["fault"], "platform");
    assert!(served.len() > 2, "{}", served.len());
    assert_eq!(
        mock.truth().len(),
        served.len() + 1,
        "what is refused is not dialled"
    );
    assert_eq!(gateway.get("/readyz").status(), 503, "it cannot serve");
    assert_eq!(gateway.get("/healthz").status(), 200);
    let counting =
        json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "x"}]});
    let free = gateway.call(&Ask::post(
        "/v1/messages/count_tokens",
        &key.secret,
        &counting,
    ));
    assert_eq!(free.status(), 200, "what costs nothing needs no record");
    let open_id = open.request_id();
    drop(open);

    ledger
        .execute_batch("ROLLBACK")
        .expect("the ledger is free again");
    eventually("it serves again", || {
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
        (answer.status() == 200).then(|| served.push(answer.request_id()))
    });
    let book = gateway.book();
    let truths = mock.truth();
    let mut whole: Vec<_> = truths.iter().filter(|truth| truth.completed).collect();
    whole.sort_by_key(|truth| truth.seq);
    assert_eq!(whole.len(), served.len());
    for (id, truth) in served.iter().zip(whole) {
        let entry = book.ended(id);
        assert_eq!(
            entry.amount,
            price("openai", &truth.model, &usage(&truth.usage)),
            "{entry:?}"
        );
    }
    assert!(
        book.ended(&open_id).amount > NanoUsd::ZERO,
        "the hang-up was recorded as well"
    );
    assert_eq!(book.entries(&refused.request_id()), []);
    eventually("ready again", || {
        (gateway.get("/readyz").status() == 200).then_some(())
    });
}

#[test]
fn traces_that_cannot_be_stored_never_hold_up_a_request() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let traces = Connection::open(gateway.data().join("traces.db")).expect("the traces");
    traces.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let ids: Vec<String> = (0..20)
        .map(|_| {
            let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
            assert_eq!(answer.status(), 200);
            answer.request_id()
        })
        .collect();
    assert!(ids.iter().all(|id| book.ended(id).amount > NanoUsd::ZERO));
    traces.execute_batch("ROLLBACK").expect("free again");
    let last = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    book.trace(&last.request_id());
}

#[test]
fn a_slow_json_answer_is_kept_alive_by_spaces() {
    let builder = Gateway::builder().env("NON_STREAMING_HEARTBEAT_INTERVAL_SECONDS", "1");
    let (gateway, mock, key) = builder.with_provider();
    whenever(&mock, "slowly", &json!({"delay_head_ms": 1_400}));
    whenever(
        &mock,
        "and fail",
        &json!({"delay_head_ms": 1_400, "status": 503, "error_type": "overloaded"}),
    );
    whenever(&mock, "and break", &json!({"stall_before_head": true}));
    let ask = |body: &serde_json::Value| {
        let mut conn = Conn::open(gateway.addr);
        conn.write(&Ask::post(CHAT, &key.secret, body).wire());
        conn
    };
    let (mut good, mut bad) = (ask(&chat("slowly")), ask(&chat("and fail")));
    let (mut streamed, hanging) = (ask(&chat_stream("slowly")), ask(&chat("and break")));
    let answer = good.answer(false).expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("x-langwatch-heartbeat-active"), Some("true"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
    assert_eq!(answer.header("x-langwatch-model"), Some("gpt-4o-mini"));
    assert!(answer.body.starts_with(b" {"), "{}", answer.text());
    let truth = mock
        .truth()
        .into_iter()
        .find(|truth| truth.status == 200 && !truth.stream);
    let truth = truth.expect("a generation");
    assert_eq!(
        sha256(answer.text().trim_start().as_bytes()),
        truth.body_sha256
    );
    gateway
        .book()
        .charged_exactly(&answer.request_id(), "openai", &truth);

    let failed = bad.answer(false).expect("an answer");
    assert_eq!(failed.status(), 200, "it was promised");
    assert_eq!(
        failed.json()["error"]["type"],
        "overloaded",
        "{}",
        failed.text()
    );
    let entry = gateway.book().ended(&failed.request_id());
    assert_eq!(
        (entry.kind, entry.detail.http_status),
        (EntryKind::Release, Some(503)),
        "{entry:?}"
    );

    let stream = streamed.answer(false).expect("an answer");
    assert_eq!(stream.header("x-langwatch-heartbeat-active"), None);
    assert!(stream.body.starts_with(b"data:"), "{}", stream.text());

    // A caller that leaves while it is kept alive is noticed as well.
    let mut waiting = hanging.stream().expect("a head");
    assert_eq!(waiting.piece().expect("a space"), Some(b" ".to_vec()));
    let id = waiting.request_id();
    drop(waiting);
    eventually("the provider sees the caller leave", || {
        (mock.disconnects() == 1).then_some(())
    });
    let entry = gateway.book().ended(&id);
    assert_eq!(
        entry.detail.error_type.as_deref(),
        Some("client_disconnected"),
        "{entry:?}"
    );
}

#[test]
fn a_head_that_never_ends_is_cut_and_a_connection_that_rests_is_not() {
    let gateway = Gateway::start();
    let mut resting = Conn::open(gateway.addr);
    assert_eq!(resting.call(&Ask::get("/healthz")).status(), 200);
    let mut slow = Conn::open(gateway.addr);
    let mut second = Conn::open(gateway.addr);
    // A head may also begin behind a request that was answered.
    assert_eq!(second.call(&Ask::get("/healthz")).status(), 200);
    second.write(b"GET /heal");
    slow.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n");
    slow.patience(Duration::from_millis(100));
    let began = Instant::now();
    // Dripping bytes does not buy time.
    eventually("the slow head is cut", || {
        slow.write(b"x-drip: 1\r\n");
        slow.is_closed().then_some(())
    });
    assert!(
        began.elapsed() > Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert!(second.is_closed());
    assert_eq!(resting.call(&Ask::get("/healthz")).status(), 200);
}

#[test]
fn the_configuration_is_checked_without_a_start() {
    let gateway = Gateway::start();
    let fine = gateway.cli(&["config", "check"]);
    assert_eq!(fine.code, Some(0), "{fine:?}");
    let printed = gateway.cli(&["config", "print"]);
    assert!(
        printed.stdout.contains("SERVER_ADDR=127.0.0.1:5563"),
        "{printed:?}"
    );
}

#[test]
fn what_is_stored_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (gateway, _mock, key) = Gateway::with_provider();
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    gateway.book().trace(&answer.request_id());
    let mut folders = vec![gateway.data()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        let mode = std::fs::metadata(&folder)
            .expect("a folder")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            // Files of the spool and of the databases come and go.
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let path = entry.path();
            assert_eq!(data.permissions().mode() & 0o077, 0, "{}", path.display());
        }
    }
    assert!(files >= 6, "{files}");
}

#[test]
fn a_spool_that_cannot_be_opened_refuses_the_start() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().join("spool").display().to_string();
    let refused = Gateway::builder()
        .env("LW_GATEWAY_SPEND_SPOOL_DIR", &path)
        .try_start();
    let Refused { status, stderr } = refused.err().expect("it must not start");
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains(&path), "{stderr}");
}
