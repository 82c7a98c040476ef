//! What swells when it is unpacked.

use flate2::{Compress, Compression, FlushCompress};

/// A gzip of so many times 16 MB of one byte, in some 16 KB each, made of one piece again and again.
pub fn bomb(byte: u8, times: usize) -> Vec<u8> {
    let same = vec![byte; 16 << 20];
    let mut compress = Compress::new(Compression::best(), false);
    let mut piece = || {
        let (mut bytes, before) = (Vec::with_capacity(64 << 10), compress.total_in());
        while compress.total_in() - before < same.len() as u64 {
            let done = usize::try_from(compress.total_in() - before).unwrap();
            compress.compress_vec(&same[done..], &mut bytes, FlushCompress::Full).unwrap();
        }
        bytes
    };
    let (first, again) = (piece(), piece());
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff];
    bytes.extend(first);
    for _ in 0..times {
        bytes.extend(&again);
    }
    bytes
}
