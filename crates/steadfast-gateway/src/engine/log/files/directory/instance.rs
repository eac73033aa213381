//! Recognises a directory that was copied or restored: a file that contains its own identity.
//!
//! A copy of the file has another inode number or another time of birth than it contains. A directory that is moved
//! within its file system keeps both, and so do changes of owner and permissions. The log decides what follows.

use std::fmt::Write as _;
use std::fs::Metadata;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;
use steadfast_log::io::Place;

use super::Names;

/// The name of the file.
const INSTANCE: &str = "instance";

/// The name of the file until it is complete.
const PARTIAL: &str = "instance.partial";

/// A file that is longer was not written by the gateway.
const BYTES_MAX: u64 = 128;

/// What the file contains: the identity of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    inode: u64,
    /// Nanoseconds since 1970, where the file system knows the time of birth.
    born: Option<u128>,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok();
        Self {
            inode: metadata.ino(),
            born: born.and_then(|born| Some(born.duration_since(UNIX_EPOCH).ok()?.as_nanos())),
        }
    }

    fn text(self) -> String {
        let mut text = format!("inode {}\n", self.inode);
        if let Some(born) = self.born {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "born {born}");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let inode = lines.next()?.strip_prefix("inode ")?.parse().ok()?;
        let born = match lines.next() {
            Some(line) => Some(line.strip_prefix("born ")?.parse().ok()?),
            None => None,
        };
        Some(Self { inode, born })
    }

    /// A time of birth that only one of the two has, for example after an update of the kernel, is not a difference.
    fn is_same(self, other: Self) -> bool {
        let born = self.born.zip(other.born);
        self.inode == other.inode && born.is_none_or(|(born, other)| born == other)
    }
}

/// Returns whether the directory is the one that was claimed last.
pub(in crate::engine::log) fn place(names: &Names) -> io::Result<Place> {
    let file = match names.open_file(INSTANCE, OFlags::RDONLY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::New),
        result => result?,
    };
    let actual = Identity::of(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let stored = std::str::from_utf8(&bytes).ok().and_then(Identity::parse);
    Ok(match stored {
        Some(stored) if stored.is_same(actual) => Place::Known,
        Some(_) | None => Place::New,
    })
}

/// Records that the directory is the place of its log.
pub(in crate::engine::log) fn claim(names: &Names) -> io::Result<()> {
    if place(names)? == Place::Known {
        return Ok(());
    }
    let mut file = names.open_file(PARTIAL, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
    let identity = Identity::of(&file.metadata()?);
    file.write_all(identity.text().as_bytes())?;
    file.sync_all()?;
    names.rename(PARTIAL, INSTANCE)?;
    names.sync()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Directory;
    use super::*;

    fn place_of(path: &Path) -> Place {
        let directory = Directory::open(path).unwrap();
        place(directory.names()).unwrap()
    }

    #[test]
    fn a_claimed_directory_is_known_also_after_a_move_and_a_copy_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let (data, moved) = (parent.path().join("data"), parent.path().join("moved"));
        let directory = Directory::open(&data).unwrap();
        assert_eq!(place(directory.names()).unwrap(), Place::New);
        claim(directory.names()).unwrap();
        claim(directory.names()).unwrap();
        drop(directory);
        assert_eq!(place_of(&data), Place::Known);

        std::fs::rename(&data, &moved).unwrap();
        std::fs::create_dir(&data).unwrap();
        std::fs::copy(moved.join(INSTANCE), data.join(INSTANCE)).unwrap();

        assert_eq!(place_of(&moved), Place::Known);
        assert_eq!(place_of(&data), Place::New);
        claim(Directory::open(&data).unwrap().names()).unwrap();
        assert_eq!(place_of(&data), Place::Known);
    }

    #[test]
    fn the_same_inode_with_another_time_of_birth_is_another_file_and_a_missing_time_is_not() {
        let file = Identity {
            inode: 7,
            born: Some(1),
        };
        let born = |born| Identity { inode: 7, born };

        assert!(!file.is_same(born(Some(2))));
        assert!(file.is_same(born(None)) && born(None).is_same(file));
        assert!(!file.is_same(Identity { inode: 8, ..file }));
        for identity in [file, born(None)] {
            assert_eq!(Identity::parse(&identity.text()), Some(identity));
        }
    }

    #[test]
    fn a_file_with_other_content_is_not_a_claim() {
        let parent = tempfile::tempdir().unwrap();
        for content in [
            "",
            "inode",
            "inode x\n",
            "inode 1\nborn\n",
            &"9".repeat(4096),
        ] {
            std::fs::write(parent.path().join(INSTANCE), content).unwrap();
            assert_eq!(place_of(parent.path()), Place::New, "{content:?}");
        }
    }
}
