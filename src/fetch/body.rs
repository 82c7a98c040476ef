//! The body of an answer, decoded as it comes and kept within limits.

use std::io::{self, Write};

use brotli::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use zstd::stream::raw::DParameter;
use zstd::stream::write::Decoder as ZstdDecoder;

use super::{FetchError, Limits};

/// What we say that we take.
pub(super) const CODINGS: &str = "gzip, br, zstd, deflate";

/// Decoded bytes whose ratio does not matter: even a small feed may be full of repetitions.
const FREE: usize = 1 << 20;

/// Largest window of Zstandard, as a power of two (RFC 9659 §3).
const ZSTD_WINDOW: u32 = 23;

/// What a brotli decoder writes at a time.
const BROTLI_BUFFER: usize = 16 * 1024;

/// Reads a body to its end.
pub(super) async fn read(
    host: &str,
    headers: &HeaderMap,
    mut incoming: Incoming,
    limits: Limits,
) -> Result<Vec<u8>, FetchError> {
    let coding = coding(headers);
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > limits.body) {
        return Err(FetchError::Large(host.to_owned(), limits.body));
    }
    let mut decoder = None;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|source| FetchError::Http(host.to_owned(), source))?;
        let Ok(bytes) = frame.into_data() else { continue };
        if bytes.is_empty() {
            continue;
        }
        let decoder = match &mut decoder {
            Some(decoder) => decoder,
            None => decoder.insert(Decoder::of(&coding, &bytes, limits).ok_or_else(|| {
                let (host, coding) = (host.to_owned(), crate::problem::printable(&coding));
                FetchError::Coding { host, coding }
            })?),
        };
        decoder.sink().came += bytes.len() as u64;
        if let Err(source) = decoder.write(&bytes) {
            return Err(decoder.sink().fault(host, limits, source));
        }
    }
    let Some(mut decoder) = decoder else { return Ok(vec![]) };
    match decoder.finish() {
        Ok(()) => Ok(std::mem::take(&mut decoder.sink().bytes)),
        Err(source) => Err(decoder.sink().fault(host, limits, source)),
    }
}

/// The name of the coding, in small letters; empty where there is none.
fn coding(headers: &HeaderMap) -> String {
    let values = headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let names = values.map(|value| value.trim().to_ascii_lowercase());
    names.filter(|name| name != "identity").collect::<Vec<_>>().join(", ")
}

/// Where decoded bytes go. Once they are beyond a limit it takes nothing any more.
struct Sink {
    bytes: Vec<u8>,
    /// Bytes that came, before decoding.
    came: u64,
    limits: Limits,
    is_beyond: Option<Beyond>,
}

#[derive(Clone, Copy)]
enum Beyond {
    Size,
    Ratio,
}

impl Sink {
    fn fault(&self, host: &str, limits: Limits, source: io::Error) -> FetchError {
        match self.is_beyond {
            Some(Beyond::Size) => FetchError::Large(host.to_owned(), limits.body),
            Some(Beyond::Ratio) => FetchError::Ratio(host.to_owned(), limits.ratio),
            None => FetchError::Decode(host.to_owned(), source),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.bytes.len() + bytes.len();
        if size > self.limits.body {
            self.is_beyond.get_or_insert(Beyond::Size);
        } else if size > FREE && size as u64 > self.came.saturating_mul(self.limits.ratio) {
            self.is_beyond.get_or_insert(Beyond::Ratio);
        }
        if self.is_beyond.is_some() {
            return Err(io::Error::other("beyond the limits"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A content coding (RFC 9110 §8.4.1), undone.
enum Decoder {
    Plain(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
    Zlib(ZlibDecoder<Sink>),
    Deflate(DeflateDecoder<Sink>),
    Brotli(Box<DecompressorWriter<Sink>>),
    Zstd(Box<ZstdDecoder<'static, Sink>>),
}

impl Decoder {
    /// For a coding, whose first bytes are these.
    fn of(coding: &str, first: &[u8], limits: Limits) -> Option<Self> {
        let sink = Sink { bytes: vec![], came: 0, limits, is_beyond: None };
        Some(match coding {
            "" => Self::Plain(sink),
            "gzip" | "x-gzip" => Self::Gzip(Box::new(MultiGzDecoder::new(sink))),
            // Some send what the name says and not what RFC 9110 §8.4.1.2 means by it.
            "deflate" if is_zlib(first) => Self::Zlib(ZlibDecoder::new(sink)),
            "deflate" => Self::Deflate(DeflateDecoder::new(sink)),
            "br" => Self::Brotli(Box::new(DecompressorWriter::new(sink, BROTLI_BUFFER))),
            "zstd" => {
                let mut raw = zstd::stream::raw::Decoder::new().ok()?;
                raw.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).ok()?;
                Self::Zstd(Box::new(ZstdDecoder::with_decoder(sink, raw)))
            }
            _ => return None,
        })
    }

    fn sink(&mut self) -> &mut Sink {
        match self {
            Self::Plain(sink) => sink,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Zlib(decoder) => decoder.write_all(bytes),
            Self::Deflate(decoder) => decoder.write_all(bytes),
            Self::Brotli(decoder) => decoder.write_all(bytes),
            Self::Zstd(decoder) => decoder.write_all(bytes),
        }
    }

    /// Whether it came to its end.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Zstd(decoder) => decoder.do_finish(),
        }
    }
}

/// Whether bytes begin as RFC 1950 §2.2 has it.
fn is_zlib(first: &[u8]) -> bool {
    match *first {
        [method] => method & 0x0f == 8,
        [method, flags, ..] => method & 0x0f == 8 && u16::from_be_bytes([method, flags]) % 31 == 0,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn limits(body: usize) -> Limits {
        Limits { body, ..Limits::default() }
    }

    /// Decodes `bytes`, a few at a time.
    fn decoded(coding: &str, bytes: &[u8], step: usize, limits: Limits) -> Result<Vec<u8>, FetchError> {
        let mut decoder = Decoder::of(coding, &bytes[..step.min(bytes.len())], limits).unwrap();
        for part in bytes.chunks(step) {
            decoder.sink().came += part.len() as u64;
            if let Err(source) = decoder.write(part) {
                return Err(decoder.sink().fault("a", limits, source));
            }
        }
        decoder.finish().map_err(|source| decoder.sink().fault("a", limits, source))?;
        Ok(std::mem::take(&mut decoder.sink().bytes))
    }

    fn coded(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        macro_rules! with {
            ($encoder:ident) => {{
                let mut encoder = $encoder::new(vec![], Compression::best());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }};
        }
        let mut brotli = vec![];
        brotli::BrotliCompress(&mut &text[..], &mut brotli, &brotli::enc::BrotliEncoderParams::default()).unwrap();
        vec![
            ("", text.to_vec()),
            ("gzip", with!(GzEncoder)),
            ("deflate", with!(ZlibEncoder)),
            ("deflate", with!(DeflateEncoder)),
            ("br", brotli),
            ("zstd", zstd::encode_all(text, 3).unwrap()),
        ]
    }

    #[test]
    fn every_coding_is_undone_however_its_bytes_come() {
        let text = b"After nine dark winters the lamp burns again. ".repeat(50);
        for (coding, bytes) in coded(&text) {
            for step in [1, 2, 7, 100_000] {
                let body = decoded(coding, &bytes, step, limits(1 << 20)).unwrap();
                assert_eq!(body, text, "{coding} by {step}");
            }
        }
    }

    #[test]
    fn what_ends_too_early_or_is_damaged_is_no_body() {
        let text = b"After nine dark winters the lamp burns again. ".repeat(50);
        for (coding, bytes) in coded(&text).into_iter().skip(1) {
            let cut = decoded(coding, &bytes[..bytes.len() - 5], 100_000, limits(1 << 20));
            assert!(matches!(cut, Err(FetchError::Decode(..))), "{coding}: {cut:?}");
            let damaged = decoded(coding, &[b"\xff\xff\xff".as_slice(), &bytes].concat(), 100_000, limits(1 << 20));
            assert!(matches!(damaged, Err(FetchError::Decode(..))), "{coding}");
        }
    }

    #[test]
    fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        let text = vec![b'a'; 5000];
        for (coding, bytes) in coded(&text) {
            assert_eq!(decoded(coding, &bytes, 100, limits(5000)).unwrap().len(), 5000, "{coding}");
            assert!(matches!(decoded(coding, &bytes, 100, limits(4999)), Err(FetchError::Large(..))), "{coding}");
        }
    }

    #[test]
    fn a_body_that_swells_is_not_read_on() {
        let text = vec![b'a'; FREE * 3];
        for (coding, bytes) in coded(&text).into_iter().skip(1) {
            let within = Limits { ratio: 10, ..limits(64 << 20) };
            assert!(matches!(decoded(coding, &bytes, 1000, within), Err(FetchError::Ratio(..))), "{coding}");
        }
    }

    #[test]
    fn a_window_of_zstandard_is_bounded() {
        let mut encoder = zstd::stream::write::Encoder::new(vec![], 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[b'a'; 1000]).unwrap();
        let bytes = encoder.finish().unwrap();
        assert!(matches!(decoded("zstd", &bytes, 1000, limits(1 << 20)), Err(FetchError::Decode(..))));
    }

    #[test]
    fn a_coding_that_was_not_asked_for_is_not_undone() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            coding(&headers)
        };
        assert_eq!(
            (headers(&[]), headers(&["identity"]), headers(&["GZIP"])),
            (String::new(), String::new(), "gzip".into())
        );
        for twice in [headers(&["gzip, gzip"]), headers(&["gzip", "br"]), headers(&["compress"])] {
            assert!(Decoder::of(&twice, b"x", limits(1)).is_none(), "{twice}");
        }
    }
}
