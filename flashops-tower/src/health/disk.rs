use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flashops_core::health::{Check, Component, Finding, Status};
use rustix::fs::statvfs;
use tokio::task::spawn_blocking;

/// When too little of a disk is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskThresholds {
    /// The free share, in thousandths, below which is a warning, and the one below which is a failure.
    pub share: [u32; 2],
    /// The same in free bytes. Whichever is worse counts.
    pub bytes: [u64; 2],
}

/// A warning below a tenth and a failure below a twentieth, however large the disk is.
impl Default for DiskThresholds {
    fn default() -> Self {
        Self { share: [100, 50], bytes: [0, 0] }
    }
}

/// What a file system has, in bytes.
#[derive(Clone, Copy, Debug)]
struct Room {
    free: u64,
    all: u64,
}

/// A check that enough is free where this path is, for those who are not root. It runs on a thread for blocking work.
pub fn disk_check(name: &str, path: impl Into<PathBuf>, thresholds: DiskThresholds) -> Check {
    let path: Arc<Path> = path.into().into();
    let looking = Arc::new(AtomicBool::new(false));
    let look = move || {
        let (path, looking) = (Arc::clone(&path), Arc::clone(&looking));
        async move {
            // A thread that waits for a dead network disk outlives the timeout; a second one would wait beside it.
            if looking.swap(true, Ordering::Relaxed) {
                return Finding::fail("the disk has not answered the last look yet");
            }
            let looked = spawn_blocking(move || {
                let room = room(&path);
                looking.store(false, Ordering::Relaxed);
                room
            });
            match looked.await {
                Ok(Ok(room)) => judge(room, thresholds),
                Ok(Err(error)) => Finding::fail(error.to_string()),
                Err(error) => Finding::fail(error.to_string()),
            }
        }
    };
    Check::new(name, look).with_component(Component::System)
}

fn room(path: &Path) -> io::Result<Room> {
    let stat = statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Room { free: bytes(stat.f_bavail), all: bytes(stat.f_blocks) })
}

fn judge(room: Room, thresholds: DiskThresholds) -> Finding {
    let share = u128::from(room.free) * 1_000 / u128::from(room.all.max(1));
    let below = |index: usize| share < thresholds.share[index].into() || room.free < thresholds.bytes[index];
    let status = match (below(1), below(0)) {
        (true, _) => Status::Fail,
        (false, true) => Status::Warn,
        (false, false) => Status::Pass,
    };
    let output = || format!("{share} thousandths are free, {} MiB", room.free >> 20).into();
    Finding { status, output: (status != Status::Pass).then(output) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(free: u64, share: [u32; 2], bytes: [u64; 2]) -> Status {
        judge(Room { free, all: 1_000 }, DiskThresholds { share, bytes }).status
    }

    #[test]
    fn whichever_of_share_and_bytes_is_worse_counts() {
        use Status::{Fail, Pass, Warn};
        for (free, share, bytes, expected) in [
            (100, [100, 50], [0, 0], Pass),
            (99, [100, 50], [0, 0], Warn),
            (50, [100, 50], [0, 0], Warn),
            (49, [100, 50], [0, 0], Fail),
            (900, [100, 50], [901, 0], Warn),
            (900, [100, 50], [2_000, 901], Fail),
            (0, [0, 0], [0, 0], Pass),
        ] {
            assert_eq!(status(free, share, bytes), expected, "{free} {share:?} {bytes:?}");
        }
        let full = judge(Room { free: 0, all: 0 }, DiskThresholds::default());
        assert_eq!(full, Finding::fail("0 thousandths are free, 0 MiB"), "a file system without blocks has no room");
        assert_eq!(judge(Room { free: u64::MAX, all: u64::MAX }, DiskThresholds::default()), Finding::pass());
    }

    #[test]
    fn this_disk_has_room_and_a_path_that_is_not_there_is_told() {
        let here = room(Path::new("/")).unwrap();
        assert!(here.free <= here.all && here.all > 0);
        assert_eq!(room(Path::new("/no/such/path")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
