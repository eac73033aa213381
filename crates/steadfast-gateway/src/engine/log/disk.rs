//! The operations on segment files that wait for the disk.
//!
//! A seam for tests: they replace the disk by one that blocks when the test requires it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use steadfast_machine::convert;

/// The size from which a read is worth a second system call, which avoids filling the buffer with zeros first.
const STREAMED_MIN: usize = 64 << 10;

/// What the I/O threads of the log do with the file of a segment. Each method may block.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Writes the bytes at this offset.
    ///
    /// # Errors
    ///
    /// The error of the operating system; some of the bytes may be written.
    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    /// Makes everything that was written to the file durable.
    ///
    /// # Errors
    ///
    /// The error of the operating system; what is durable is then unknown.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Reads bytes; returns fewer than `len` only at the end of the file.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn read(&self, file: &File, at: u64, len: usize) -> io::Result<Bytes> {
        read_at(file, at, len)
    }
}

/// The disk of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {}

/// Reads until `len` bytes have been read or the file ends.
pub(super) fn read_at(file: &File, at: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(len);
    if len < STREAMED_MIN {
        bytes.resize(len, 0);
        let filled = fill_at(file, at, &mut bytes)?;
        bytes.truncate(filled);
    } else {
        let mut file = file;
        file.seek(SeekFrom::Start(at))?;
        file.take(convert::to_u64(len)).read_to_end(&mut bytes)?;
    }
    Ok(Bytes::from(bytes))
}

fn fill_at(file: &File, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, at + convert::to_u64(filled)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
