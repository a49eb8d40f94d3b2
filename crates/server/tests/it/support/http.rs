//! A caller that hides nothing: requests are written as bytes, answers are read as bytes.
//!
//! It shares no code with the product's HTTP, so both cannot be wrong together.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::{parsed, text};

/// No read takes longer than this.
const LIMIT: Duration = Duration::from_secs(30);

/// A request, before it becomes bytes.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Send the body in chunks of this size instead of announcing its length.
    chunks: Option<usize>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunks: None,
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A JSON request with `key` as its bearer token.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "bodies are made where they are sent"
    )]
    pub(crate) fn post(path: &str, key: &str, body: impl ToString) -> Self {
        Self::new("POST", path)
            .bearer(key)
            .header("Content-Type", "application/json")
            .body(body.to_string())
    }

    pub(crate) fn bearer(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body with `Transfer-Encoding: chunked` in pieces of `size` bytes.
    pub(crate) fn chunked(mut self, size: usize) -> Self {
        self.chunks = Some(size);
        self
    }

    /// What goes on the wire.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut out = format!(
            "{} {} HTTP/1.1\r\nHost: gateway\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut body = Vec::new();
        match self.chunks {
            Some(size) => {
                out.push_str("Transfer-Encoding: chunked\r\n");
                for piece in self.body.chunks(size) {
                    body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    body.extend_from_slice(piece);
                    body.extend_from_slice(b"\r\n");
                }
                body.extend_from_slice(b"0\r\n\r\n");
            }
            None => {
                let named = |name: &str| {
                    let mut names = self.headers.iter().map(|(name, _)| name);
                    names.any(|known| known.eq_ignore_ascii_case(name))
                };
                if self.method != "GET" && self.method != "HEAD" && !named("content-length") {
                    out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
                }
                body.extend_from_slice(&self.body);
            }
        }
        out.push_str("\r\n");
        [out.into_bytes(), body].concat()
    }
}

/// Status line and headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// In the order of the wire, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    fn parse(raw: &[u8]) -> Self {
        let text = std::str::from_utf8(raw).expect("a head is text");
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            status: status.unwrap_or_else(|| panic!("no status in `{first}`")),
            headers,
        }
    }

    /// The first value of a header.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    fn framing(&self, head_only: bool) -> Framing {
        let chunked = self
            .get("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"));
        if head_only || self.status == 204 || self.status == 304 {
            Framing::Length(0)
        } else if chunked {
            Framing::Chunked
        } else if let Some(length) = self.get("content-length") {
            Framing::Length(length.parse().expect("a length"))
        } else {
            Framing::Close
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
    Over,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// The connection ended before the body did.
    pub(crate) cut: bool,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    pub(crate) fn json(&self) -> Value {
        parsed(&self.body)
    }

    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }

    /// The JSON of an answer with this status.
    pub(crate) fn fine(&self, status: u16) -> Value {
        assert_eq!(self.status(), status, "{:?} {}", self.head, self.text());
        self.json()
    }

    /// Status and `error.code`.
    pub(crate) fn code(&self) -> (u16, String) {
        let code = self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (self.status(), code)
    }

    /// The id of the request, as the gateway minted it.
    pub(crate) fn request_id(&self) -> String {
        self.header("x-langwatch-request-id")
            .expect("a request id")
            .to_owned()
    }
}

/// A connection. Dropping it hangs up.
pub(crate) struct Conn {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Conn {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::try_open(addr).expect("a connection")
    }

    pub(crate) fn try_open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            ahead: Vec::new(),
        })
    }

    /// Writes bytes as they are. The other side may have had enough: its answer tells.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says that no more bytes come.
    pub(crate) fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Asks and reads the whole answer; the connection stays open.
    pub(crate) fn call(&mut self, ask: &Ask) -> Answer {
        self.try_call(ask).expect("an answer")
    }

    pub(crate) fn try_call(&mut self, ask: &Ask) -> io::Result<Answer> {
        self.write(&ask.wire());
        self.answer(ask.method == "HEAD")
    }

    /// Asks and reads the head of the answer.
    pub(crate) fn start(mut self, ask: &Ask) -> Stream {
        self.write(&ask.wire());
        self.stream().expect("a head")
    }

    /// Reads a head that is not the answer yet (`100 Continue`); returns its status.
    pub(crate) fn interim(&mut self) -> io::Result<u16> {
        Ok(self.head()?.status)
    }

    /// Reads a whole answer.
    pub(crate) fn answer(&mut self, head_only: bool) -> io::Result<Answer> {
        let head = self.head()?;
        let mut framing = head.framing(head_only);
        let mut body = Vec::new();
        let mut cut = false;
        loop {
            match self.piece(&mut framing) {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) if is_end(&error) => {
                    cut = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Answer { head, body, cut })
    }

    /// Reads a head and leaves the body to be read piece by piece.
    pub(crate) fn stream(mut self) -> io::Result<Stream> {
        let head = self.head()?;
        let framing = head.framing(false);
        Ok(Stream {
            conn: self,
            head,
            framing,
        })
    }

    /// Waits no longer than this for bytes from now on.
    pub(crate) fn patience(&self, limit: Duration) {
        self.stream
            .set_read_timeout(Some(limit))
            .expect("a timeout");
    }

    /// Whether the other side closed, with nothing more to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.ahead.is_empty()
            && match self.fill() {
                Ok(read) => read == 0,
                Err(error) => is_end(&error),
            }
    }

    fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                let raw: Vec<u8> = self.ahead.drain(..at + 4).collect();
                return Ok(Head::parse(&raw[..at]));
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next bytes of a body: a chunk as it was sent, or what is there.
    fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        match *framing {
            Framing::Over | Framing::Length(0) => {
                *framing = Framing::Over;
                Ok(None)
            }
            Framing::Length(left) => {
                if self.ahead.is_empty() && self.fill()? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let take = left.min(self.ahead.len());
                *framing = Framing::Length(left - take);
                Ok(Some(self.ahead.drain(..take).collect()))
            }
            Framing::Close => {
                if self.ahead.is_empty() && self.fill()? == 0 {
                    *framing = Framing::Over;
                    return Ok(None);
                }
                Ok(Some(std::mem::take(&mut self.ahead)))
            }
            Framing::Chunked => {
                let line = self.line()?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
                    .unwrap_or_else(|_| panic!("`{line}` is no chunk size"));
                if size == 0 {
                    while !self.line()?.is_empty() {}
                    *framing = Framing::Over;
                    return Ok(None);
                }
                while self.ahead.len() < size + 2 {
                    if self.fill()? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                let piece = self.ahead.drain(..size).collect();
                self.ahead.drain(..2);
                Ok(Some(piece))
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.ahead, b"\r\n") {
                let raw: Vec<u8> = self.ahead.drain(..at + 2).collect();
                return Ok(text(&raw[..at]));
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 * 1024];
        let read = self.stream.read(&mut buffer)?;
        self.ahead.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// An answer whose body is being read.
pub(crate) struct Stream {
    conn: Conn,
    pub(crate) head: Head,
    framing: Framing,
}

impl Stream {
    pub(crate) fn request_id(&self) -> String {
        self.head
            .get("x-langwatch-request-id")
            .expect("a request id")
            .to_owned()
    }

    /// The next piece; `None` at the end, an error when the connection broke.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.conn.piece(&mut self.framing)
    }

    /// Reads until `wanted` was seen; returns everything read up to then.
    pub(crate) fn until(&mut self, wanted: &str) -> Vec<u8> {
        let mut seen = Vec::new();
        while find(&seen, wanted.as_bytes()).is_none() {
            let piece = self.piece().expect("the stream goes on");
            seen.extend(piece.unwrap_or_else(|| panic!("no `{wanted}` in {}", text(&seen))));
        }
        seen
    }

    /// The rest of the body, and whether it ended as it should.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            match self.piece() {
                Ok(Some(piece)) => all.extend(piece),
                Ok(None) => return (all, true),
                Err(error) if is_end(&error) => return (all, false),
                Err(error) => panic!("{error} after {}", text(&all)),
            }
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
