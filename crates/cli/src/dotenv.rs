//! Writing one line of a `.env` file. Every other line stays as it is, byte for byte.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::config_file::replace;
use crate::environment::dotenv_name;

/// Sets a `LANGWATCH_*` variable: in its line where there is one, else in a new line at the end.
/// Makes the file when there is none.
pub(crate) fn write(path: &Path, name: &str, value: &str) -> io::Result<()> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    replace(path, &with_line(&content, name, value))
}

fn with_line(content: &[u8], name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut placed = false;
    // A new line ends like the lines that are there.
    let mut ending: &[u8] = b"\n";
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let end = if line.ends_with(b"\r\n") {
            b"\r\n".as_slice()
        } else {
            b"\n".as_slice()
        };
        if line.ends_with(b"\n") {
            ending = end;
        }
        let text = std::str::from_utf8(line).unwrap_or_default();
        if dotenv_name(text).is_none_or(|(known, _)| known != name) {
            out.extend_from_slice(line);
            continue;
        }
        // Readers differ on which of two lines counts, so one remains.
        if !placed {
            out.extend_from_slice(format!("{name}={value}").as_bytes());
            out.extend_from_slice(end);
        }
        placed = true;
    }
    if !placed {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.extend_from_slice(ending);
        }
        out.extend_from_slice(format!("{name}={value}").as_bytes());
        out.extend_from_slice(ending);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::with_line;

    const NAME: &str = "LANGWATCH_API_KEY";

    proptest! {
        #[test]
        fn other_lines_keep_their_bytes(
            before in proptest::collection::vec("[A-Z#= \\t\"é]{0,9}\r?", 0..6),
            after in proptest::collection::vec("[A-Z#= \\t\"é]{0,9}\r?", 0..6),
            export in any::<bool>(),
        ) {
            let join = |line: &str| [before.as_slice(), &[line.to_owned()], &after].concat().join("\n");
            let old = if export { "export LANGWATCH_API_KEY=old" } else { "LANGWATCH_API_KEY=old" };
            let written = with_line(join(old).as_bytes(), NAME, "new");
            let mut expected = join("LANGWATCH_API_KEY=new").into_bytes();
            if after.is_empty() {
                expected.push(b'\n');
            }
            prop_assert_eq!(&written, &expected);
            prop_assert_eq!(with_line(&written, NAME, "new"), expected);
        }

        #[test]
        fn a_new_line_goes_behind_every_byte_that_was_there(
            before in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let written = with_line(&before, NAME, "new");
            prop_assert!(written.starts_with(&before));
            prop_assert!(String::from_utf8_lossy(&written).contains("LANGWATCH_API_KEY=new"));
        }
    }

    #[test]
    fn the_key_takes_its_line_and_leaves_the_others() {
        for (before, after) in [
            ("", "LANGWATCH_API_KEY=new\n"),
            ("A=1", "A=1\nLANGWATCH_API_KEY=new\n"),
            (
                "A=1\nexport LANGWATCH_API_KEY=old\n# c\nLANGWATCH_API_KEY=older\n",
                "A=1\nLANGWATCH_API_KEY=new\n# c\n",
            ),
            (
                "LANGWATCH_API_KEY_OTHER=x\n",
                "LANGWATCH_API_KEY_OTHER=x\nLANGWATCH_API_KEY=new\n",
            ),
            ("LANGWATCH_API_KEY=old", "LANGWATCH_API_KEY=new\n"),
            (
                "A=1\r\nLANGWATCH_API_KEY=old\r\n\tB = 2  \r\nC",
                "A=1\r\nLANGWATCH_API_KEY=new\r\n\tB = 2  \r\nC",
            ),
            ("A=1\r\nB", "A=1\r\nB\r\nLANGWATCH_API_KEY=new\r\n"),
            (
                "\n\n# LANGWATCH_API_KEY=x\n",
                "\n\n# LANGWATCH_API_KEY=x\nLANGWATCH_API_KEY=new\n",
            ),
        ] {
            let written = with_line(before.as_bytes(), "LANGWATCH_API_KEY", "new");
            assert_eq!(String::from_utf8_lossy(&written), after, "{before:?}");
        }
    }

    #[test]
    fn lines_that_are_no_text_stay() {
        let written = with_line(
            b"A=\xff\xfe\nLANGWATCH_API_KEY=old\nB=\x00",
            "LANGWATCH_API_KEY",
            "new",
        );
        assert_eq!(written, b"A=\xff\xfe\nLANGWATCH_API_KEY=new\nB=\x00");
    }
}
