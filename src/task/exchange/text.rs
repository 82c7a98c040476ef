//! The bytes of a file as UTF-8: byte order marks, UTF-16, and windows-1252 where a line can be nothing else.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Cursor, Read};

/// How much is looked at before it is read.
pub(super) const SAMPLE_BYTES: usize = 64 * 1024;

/// What windows-1252 has where Latin-1 has controls, from 0x80 on (WHATWG Encoding, "index windows-1252").
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
];

/// A text, and whether it has proved to be UTF-8: then a line that is not is a fault, and no windows-1252.
pub(super) struct Text<'a> {
    pub(super) input: Box<dyn BufRead + Send + 'a>,
    pub(super) is_utf8: bool,
    /// Its first bytes, as UTF-8.
    pub(super) sample: Vec<u8>,
}

impl<'a> Text<'a> {
    /// Looks at the beginning of `input`.
    pub(super) fn open(mut input: impl Read + Send + 'a) -> std::io::Result<Self> {
        let mut sample = vec![];
        input.by_ref().take(SAMPLE_BYTES as u64).read_to_end(&mut sample)?;
        let rest = |from: usize, sample: &[u8], input| Cursor::new(sample[from..].to_vec()).chain(input);
        let utf16 = match sample.as_slice() {
            [0xFF, 0xFE, ..] => Some((2, false)),
            [0xFE, 0xFF, ..] => Some((2, true)),
            // An ASCII character first, as a heading has it.
            [1..=255, 0, 1..=255, 0, ..] => Some((0, false)),
            [0, 1..=255, 0, 1..=255, ..] => Some((0, true)),
            _ => None,
        };
        if let Some((from, big)) = utf16 {
            let mut decoded =
                Utf16 { input: BufReader::new(rest(from, &sample, input)), big, high: None, ready: vec![] };
            let mut sample = vec![];
            decoded.by_ref().take(SAMPLE_BYTES as u64).read_to_end(&mut sample)?;
            let input = Box::new(BufReader::new(Cursor::new(sample.clone()).chain(decoded)));
            return Ok(Self { input, is_utf8: true, sample });
        }
        let from = if sample.starts_with(&[0xEF, 0xBB, 0xBF]) { 3 } else { 0 };
        let is_utf8 = from > 0 || sample.split(|byte| *byte == b'\n').any(is_beyond_ascii);
        let input = Box::new(BufReader::with_capacity(SAMPLE_BYTES, rest(from, &sample, input)));
        sample.drain(..from);
        Ok(Self { input, is_utf8, sample })
    }
}

/// Whether a line is UTF-8 and could be nothing simpler.
pub(super) fn is_beyond_ascii(line: &[u8]) -> bool {
    !line.is_ascii() && std::str::from_utf8(line).is_ok()
}

/// A field as text: UTF-8, or windows-1252 if it may be that. `None` where it is neither.
pub(super) fn decoded(bytes: &[u8], may_be_windows: bool) -> Option<Cow<'_, str>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) if may_be_windows => {
            let windows = |byte: &u8| match byte {
                0x80..=0x9F => WINDOWS_1252[usize::from(byte - 0x80)],
                byte => char::from(*byte),
            };
            Some(bytes.iter().map(windows).collect::<String>().into())
        }
        Err(_) => None,
    }
}

/// UTF-16 read as UTF-8; what is unpaired becomes U+FFFD.
struct Utf16<R> {
    input: R,
    big: bool,
    high: Option<u16>,
    ready: Vec<u8>,
}

impl<R: BufRead> Utf16<R> {
    fn unit(&mut self) -> std::io::Result<Option<u16>> {
        let mut pair = [0; 2];
        for (at, place) in pair.iter_mut().enumerate() {
            let Some(byte) = self.input.by_ref().bytes().next().transpose()? else {
                return Ok((at > 0).then_some(0xFFFD));
            };
            *place = byte;
        }
        Ok(Some(if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }))
    }

    fn push(&mut self, c: char) {
        self.ready.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.ready.len() < out.len() {
            let Some(unit) = self.unit()? else {
                if self.high.take().is_some() {
                    self.push('\u{FFFD}');
                }
                break;
            };
            if let Some(high) = self.high.take() {
                match char::decode_utf16([high, unit]).next() {
                    Some(Ok(c)) => {
                        self.push(c);
                        continue;
                    }
                    _ => self.push('\u{FFFD}'),
                }
            }
            match char::from_u32(u32::from(unit)) {
                Some(c) => self.push(c),
                None if (0xD800..0xDC00).contains(&unit) => self.high = Some(unit),
                None => self.push('\u{FFFD}'),
            }
        }
        let given = out.len().min(self.ready.len());
        out[..given].copy_from_slice(&self.ready[..given]);
        self.ready.drain(..given);
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> String {
        let mut text = Text::open(bytes).unwrap();
        let mut out = vec![];
        text.input.read_to_end(&mut out).unwrap();
        decoded(&out, !text.is_utf8).unwrap().into_owned()
    }

    #[test]
    fn every_way_to_write_a_text_is_read() {
        let text = "address,name\r\nann@reader.example,Zoë 🏮\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
            little.clone(),
            big.clone(),
            [b"\xFF\xFE".as_slice(), &little].concat(),
            [b"\xFE\xFF".as_slice(), &big].concat(),
        ] {
            assert_eq!(read(&bytes), text);
        }
        assert_eq!(read(b"address,name\nann@reader.example,Zo\xEB \x80\n"), "address,name\nann@reader.example,Zoë €\n");
        assert_eq!(read(b"\xFF\xFEa\0\0\xD8b\0"), "a\u{FFFD}b");
        assert_eq!(read(b""), "");
    }

    #[test]
    fn a_text_that_is_utf8_elsewhere_is_not_taken_for_windows_1252() {
        let text = Text::open("a,é\nb,".as_bytes()).unwrap();
        assert!(text.is_utf8);
        assert_eq!(decoded(b"Ren\xE9", false), None);
    }
}
