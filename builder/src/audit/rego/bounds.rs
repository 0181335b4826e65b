//! Bounds on the time and the memory of a task that cannot be told to stop.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;

/// How often memory and time are looked at.
const INTERVAL: Duration = Duration::from_millis(5);
/// The interpreter calls itself for each level of a rule.
const STACK_BYTES: usize = 16 << 20;

/// What a task may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From its beginning to its end.
    pub time: Duration,
    /// What this program's resident memory may grow by meanwhile.
    pub memory_bytes: u64,
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    #[error("it takes longer than {} s", .0.as_secs())]
    Time(Duration),
    #[error("it takes more than {} MiB of memory", .0 >> 20)]
    Memory(u64),
    #[error("the memory of this program cannot be measured: {0}")]
    Unmeasured(String),
    #[error("the interpreter broke off")]
    Broken,
}

impl Bounds {
    /// The result of `task`. A task that exceeds a bound goes on in its thread: the caller has to end the program.
    pub fn run<T: Send + 'static>(self, task: impl FnOnce() -> T + Send + 'static) -> Result<T, Exceeded> {
        let (sender, receiver) = mpsc::channel();
        let (began, before) = (Instant::now(), resident_bytes()?);
        let body = move || {
            // Nobody listens any more where a bound was exceeded.
            let _ = sender.send(task());
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(body).map_err(|_| Exceeded::Broken)?;
        loop {
            match receiver.recv_timeout(INTERVAL) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Disconnected) => return Err(Exceeded::Broken),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if resident_bytes()?.saturating_sub(before) > self.memory_bytes {
                return Err(Exceeded::Memory(self.memory_bytes));
            }
            if began.elapsed() > self.time {
                return Err(Exceeded::Time(self.time));
            }
        }
    }
}

/// Memory of this program that is in RAM. Source: proc(5), `VmRSS`.
fn resident_bytes() -> Result<u64, Exceeded> {
    let path = "/proc/self/status";
    let text = fs::read_to_string(path).map_err(|error| Exceeded::Unmeasured(error.to_string()))?;
    let kib =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Exceeded::Unmeasured(format!("{path} has no VmRSS")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds { time: Duration::from_hours(1), memory_bytes: 1 << 40 };

    #[test]
    fn a_task_within_its_bounds_has_a_result() {
        assert_eq!(WIDE.run(|| 7), Ok(7));
        assert_eq!(WIDE.run(|| panic!("as a broken interpreter does")), Err::<(), _>(Exceeded::Broken));
    }

    #[test]
    fn a_task_that_takes_more_is_not_waited_for() {
        let (end, ended) = mpsc::channel::<()>();
        let hungry = move || {
            let taken = vec![1_u8; 96 << 20];
            // Until the test is over.
            let _ = ended.recv();
            taken.len()
        };
        let bounds = Bounds { memory_bytes: 32 << 20, ..WIDE };
        assert_eq!(bounds.run(hungry), Err(Exceeded::Memory(32 << 20)));
        drop(end);

        let (end, ended) = mpsc::channel::<()>();
        let bounds = Bounds { time: Duration::ZERO, ..WIDE };
        assert_eq!(bounds.run(move || ended.recv().is_ok()), Err(Exceeded::Time(Duration::ZERO)));
        drop(end);
    }
}
