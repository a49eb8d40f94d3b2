//! The little HTTP/1.1 that a load generator needs, and not a byte more.
//!
//! The generator shares its cores with what it measures, so this reads framing only: status, length,
//! chunk sizes. It keeps no body; whoever wants one takes it from the sink. Must never be lenient: an
//! answer that is not understood is an error, because a miscounted answer is a wrong benchmark.
//! Start at [`Response::push`].

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// More head than any server here sends.
const HEAD_LIMIT: usize = 64 * 1024;
/// The most body that [`fetch`] keeps.
const FETCH_LIMIT: usize = 16 * 1024 * 1024;
/// The most time that [`fetch`] takes.
const FETCH_TIME: Duration = Duration::from_secs(60);
const TAIL: usize = 16;

/// One answer, read in pieces of any size; reused for the next one after [`Response::reset`].
pub(crate) struct Response {
    stage: Stage,
    head: Vec<u8>,
    status: u16,
    close: bool,
    body_bytes: u64,
    tail: [u8; TAIL],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Head,
    Length(u64),
    ChunkSize {
        size: u64,
        digits: u8,
        extension: bool,
    },
    Chunk(u64),
    ChunkEnd,
    Trailer {
        empty: bool,
    },
    UntilClose,
    Done,
}

const NEXT_CHUNK: Stage = Stage::ChunkSize {
    size: 0,
    digits: 0,
    extension: false,
};

impl Response {
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Head,
            head: Vec::with_capacity(1024),
            status: 0,
            close: false,
            body_bytes: 0,
            tail: [0; TAIL],
        }
    }

    pub(crate) fn reset(&mut self) {
        self.stage = Stage::Head;
        self.head.clear();
        self.status = 0;
        self.close = false;
        self.body_bytes = 0;
        self.tail = [0; TAIL];
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Body bytes so far, without chunk framing.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether the server will not take another request on this connection.
    pub(crate) fn closes(&self) -> bool {
        self.close
    }

    /// Whether the body read so far ends with `end` (at most 16 bytes).
    pub(crate) fn ends_with(&self, end: &[u8]) -> bool {
        self.tail.ends_with(end)
    }

    /// Takes the next bytes off the wire, hands body bytes to `sink`, returns how many belong to this
    /// answer: fewer than given means that it is done and the rest is somebody else's.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> anyhow::Result<usize> {
        let mut rest = bytes;
        while self.stage != Stage::Done
            && let Some((&first, after)) = rest.split_first()
        {
            match self.stage {
                Stage::Head => rest = self.push_head(rest)?,
                Stage::Length(left) => {
                    let (taken, left) = self.take_body(&mut rest, left, &mut sink);
                    debug_assert!(taken > 0, "an empty body is done with its head");
                    self.stage = if left == 0 {
                        Stage::Done
                    } else {
                        Stage::Length(left)
                    };
                }
                Stage::Chunk(left) => {
                    let (_, left) = self.take_body(&mut rest, left, &mut sink);
                    self.stage = if left == 0 {
                        Stage::ChunkEnd
                    } else {
                        Stage::Chunk(left)
                    };
                }
                Stage::UntilClose => {
                    self.take_body(&mut rest, u64::MAX, &mut sink);
                }
                Stage::ChunkSize { .. } | Stage::ChunkEnd | Stage::Trailer { .. } => {
                    self.push_framing(first)?;
                    rest = after;
                }
                Stage::Done => {}
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// The server closed the connection.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        match self.stage {
            Stage::UntilClose | Stage::Done => {
                self.stage = Stage::Done;
                self.close = true;
                Ok(())
            }
            Stage::Head if self.head.is_empty() => bail!("connection closed before an answer"),
            Stage::Head
            | Stage::Length(_)
            | Stage::ChunkSize { .. }
            | Stage::Chunk(_)
            | Stage::ChunkEnd
            | Stage::Trailer { .. } => {
                bail!(
                    "connection closed in the middle of an answer ({:?})",
                    self.stage
                )
            }
        }
    }

    /// Collects up to the empty line; returns what lies behind it.
    fn push_head<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let known = self.head.len();
        self.head.extend_from_slice(bytes);
        let from = known.saturating_sub(3);
        let end = self
            .head
            .get(from..)
            .and_then(|new| new.windows(4).position(|window| window == b"\r\n\r\n"))
            .map(|at| from + at + 4);
        let Some(end) = end else {
            ensure!(
                self.head.len() <= HEAD_LIMIT,
                "answer head over {HEAD_LIMIT} bytes"
            );
            return Ok(&[]);
        };
        self.head.truncate(end);
        self.read_head()?;
        Ok(bytes.get(end - known..).unwrap_or_default())
    }

    fn read_head(&mut self) -> anyhow::Result<()> {
        let mut lines = self
            .head
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii);
        let start = lines.next().unwrap_or_default();
        let old = start.starts_with(b"HTTP/1.0 ");
        ensure!(
            old || start.starts_with(b"HTTP/1.1 "),
            "not an HTTP/1 answer: {}",
            text(start)
        );
        self.status = start
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .with_context(|| format!("no status in {}", text(start)))?;
        self.close = old;
        let (mut length, mut chunked) = (None, false);
        for line in lines {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                let number: u64 = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok())
                    .with_context(|| format!("content-length is {}", text(value)))?;
                length = Some(number);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                ensure!(
                    value.eq_ignore_ascii_case(b"chunked"),
                    "encoding {}",
                    text(value)
                );
                chunked = true;
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.close = value.eq_ignore_ascii_case(b"close");
            }
        }
        self.stage = match (chunked, length) {
            (true, _) => NEXT_CHUNK,
            (false, Some(0)) => Stage::Done,
            (false, Some(length)) => Stage::Length(length),
            (false, None) if matches!(self.status, 204 | 304) => Stage::Done,
            (false, None) => Stage::UntilClose,
        };
        Ok(())
    }

    /// Moves up to `left` bytes from `rest` to the sink; returns how many and what is still to come.
    fn take_body(
        &mut self,
        rest: &mut &[u8],
        left: u64,
        sink: &mut impl FnMut(&[u8]),
    ) -> (usize, u64) {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let (body, after) = rest.split_at(size);
        *rest = after;
        let last = body.get(size.saturating_sub(TAIL)..).unwrap_or_default();
        self.tail.rotate_left(last.len() % TAIL);
        if let Some(end) = self.tail.get_mut(TAIL - last.len()..) {
            end.copy_from_slice(last);
        }
        self.body_bytes += size as u64;
        sink(body);
        (size, left - size as u64)
    }

    fn push_framing(&mut self, byte: u8) -> anyhow::Result<()> {
        self.stage = match (self.stage, byte) {
            (Stage::ChunkSize { size, digits, .. }, b'\n') => {
                ensure!(digits > 0, "a chunk without a size");
                if size == 0 {
                    Stage::Trailer { empty: true }
                } else {
                    Stage::Chunk(size)
                }
            }
            (
                stage @ Stage::ChunkSize {
                    extension: true, ..
                },
                _,
            ) => stage,
            (stage @ Stage::ChunkSize { .. }, b'\r') => stage,
            (Stage::ChunkSize { size, digits, .. }, b';' | b' ') => Stage::ChunkSize {
                size,
                digits,
                extension: true,
            },
            (
                Stage::ChunkSize {
                    size,
                    digits,
                    extension: false,
                },
                _,
            ) => {
                let digit = char::from(byte).to_digit(16);
                let digit = digit.with_context(|| format!("byte {byte:#x} in a chunk size"))?;
                ensure!(digits < 15, "chunk size too long");
                let size = size * 16 + u64::from(digit);
                Stage::ChunkSize {
                    size,
                    digits: digits + 1,
                    extension: false,
                }
            }
            (Stage::ChunkEnd, b'\r') => Stage::ChunkEnd,
            (Stage::ChunkEnd, b'\n') => NEXT_CHUNK,
            (Stage::ChunkEnd, _) => bail!("byte {byte:#x} behind a chunk"),
            (Stage::Trailer { empty: true }, b'\n') => Stage::Done,
            (Stage::Trailer { .. }, b'\n') => Stage::Trailer { empty: true },
            (stage @ Stage::Trailer { .. }, b'\r') => stage,
            (Stage::Trailer { .. }, _) => Stage::Trailer { empty: false },
            (
                Stage::Head | Stage::Length(_) | Stage::Chunk(_) | Stage::UntilClose | Stage::Done,
                _,
            ) => bail!("framing byte in stage {:?}", self.stage),
        };
        Ok(())
    }
}

/// A finished call of [`fetch`].
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) ends_stream: bool,
}

impl Fetched {
    /// The start of the body, for messages.
    pub(crate) fn snippet(&self) -> String {
        text(
            self.body
                .get(..self.body.len().min(400))
                .unwrap_or_default(),
        )
    }
}

/// Sends a whole request on a connection of its own and keeps the answer: for setting up and probing.
pub(crate) async fn fetch(address: SocketAddr, request: &[u8]) -> anyhow::Result<Fetched> {
    let answer = tokio::time::timeout(FETCH_TIME, fetch_in_time(address, request)).await;
    answer.with_context(|| format!("no answer from {address} within {FETCH_TIME:?}"))?
}

async fn fetch_in_time(address: SocketAddr, request: &[u8]) -> anyhow::Result<Fetched> {
    Client::connect(address).await?.ask(request).await
}

/// A connection that asks one thing after the other.
pub(crate) struct Client {
    stream: TcpStream,
    response: Response,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            response: Response::new(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Sends a whole request and keeps the answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Fetched> {
        let Self {
            stream,
            response,
            buffer,
        } = self;
        response.reset();
        stream.write_all(request).await?;
        let mut body = Vec::new();
        while !response.is_done() {
            let size = stream.read(buffer).await?;
            if size == 0 {
                response.finish()?;
                break;
            }
            let read = buffer.get(..size).unwrap_or_default();
            response.push(read, |part| body.extend_from_slice(part))?;
            ensure!(body.len() <= FETCH_LIMIT, "answer over {FETCH_LIMIT} bytes");
        }
        Ok(Fetched {
            status: response.status(),
            body,
            ends_stream: response.ends_with(crate::bench::scenario::STREAM_END),
        })
    }
}

/// The bytes of a request; `body` makes it a POST of JSON.
pub(crate) fn request(
    address: SocketAddr,
    path: &str,
    bearer: Option<&str>,
    body: Option<&[u8]>,
) -> Vec<u8> {
    request_with(address, path, bearer, &[], body)
}

/// The same with more headers.
pub(crate) fn request_with(
    address: SocketAddr,
    path: &str,
    bearer: Option<&str>,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nUser-Agent: langwatch-bench\r\n"
    );
    if let Some(bearer) = bearer {
        head.push_str(&format!("Authorization: Bearer {bearer}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in two cuts and returns (status, body, done, consumed of the last piece).
    fn read(pieces: &[&[u8]]) -> anyhow::Result<(Response, Vec<u8>, usize)> {
        let mut response = Response::new();
        let mut body = Vec::new();
        let mut used = 0;
        for piece in pieces {
            used += response.push(piece, |part| body.extend_from_slice(part))?;
        }
        Ok((response, body, used))
    }

    const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nX: y\r\n\r\nhello world";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n";

    #[test]
    fn any_cutting_gives_the_same_answer() {
        for wire in [SIZED, CHUNKED] {
            for first in 0..=wire.len() {
                for second in first..=wire.len() {
                    let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                    let (response, body, used) = read(&pieces).unwrap();
                    assert!(response.is_done());
                    assert_eq!(response.status(), 200);
                    assert_eq!(body, b"hello world");
                    assert_eq!(response.body_bytes(), 11);
                    assert!(response.ends_with(b"o world"));
                    assert!(!response.ends_with(b"0 world"));
                    assert_eq!(used, wire.len());
                }
            }
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            assert!(read(&bytes).unwrap().0.is_done());
        }
    }

    #[test]
    fn bytes_behind_the_answer_are_left() {
        let wire = [SIZED, b"HTTP/1.1"].concat();
        let (response, _, used) = read(&[&wire]).unwrap();
        assert!(response.is_done());
        assert_eq!(used, SIZED.len());
    }

    #[test]
    fn a_reset_reader_reads_the_next_answer() {
        let (mut response, _, _) = read(&[CHUNKED]).unwrap();
        response.reset();
        response
            .push(b"HTTP/1.1 429 Slow\r\nConnection: close\r\n\r\nno", |_| {})
            .unwrap();
        assert_eq!(response.status(), 429);
        assert!(response.closes() && !response.is_done());
        response.finish().unwrap();
        assert!(response.is_done());
        assert_eq!(response.body_bytes(), 2);
    }

    #[test]
    fn a_cut_connection_is_an_error_in_every_stage() {
        for wire in [SIZED, CHUNKED] {
            for end in 0..wire.len() {
                let (mut response, _, _) = read(&[&wire[..end]]).unwrap();
                assert!(response.finish().is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for wire in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
        ] {
            assert!(read(&[wire]).is_err(), "{}", text(wire));
        }
    }
}
