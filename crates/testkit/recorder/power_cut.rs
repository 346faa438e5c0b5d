//! Preloaded into a program, it writes down what the program does to the files below one folder: every write, fsync,
//! rename and removal, in order. Compiled on its own by `mainstay_testkit::PowerCut`; it uses nothing but std.
//!
//! Covered is what goes through the C library: Rust's std and SQLite do. Raw system calls and memory maps are not seen
//! (here: locks, space reserved ahead, SQLite's shared-memory index, none of which carries data).

#![allow(unused_unsafe)]

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, OnceLock};

const RTLD_NEXT: *mut c_void = -1isize as *mut c_void;
const AT_FDCWD: c_int = -100;
const O_CREAT: c_int = 0o100;
const O_TRUNC: c_int = 0o1000;
const O_APPEND: c_int = 0o2000;
const O_WRONLY: c_int = 1;
const SIGKILL: c_int = 9;
const SEEK_CUR: c_int = 1;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn getpid() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
}

macro_rules! real {
    ($name:literal, $($type:ty),* => $out:ty) => {{
        static FOUND: OnceLock<usize> = OnceLock::new();
        let found = *FOUND.get_or_init(|| unsafe { dlsym(RTLD_NEXT, concat!($name, "\0").as_ptr().cast()) } as usize);
        // SAFETY: the C library's function of this name has this signature.
        unsafe { std::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $out>(found) }
    }};
}

struct Recorder {
    root: String,
    trace: c_int,
    files: HashMap<c_int, String>,
    /// Once this was said, the program dies in place of the next fsync.
    last_words: Option<String>,
    has_said_them: bool,
}

thread_local! {
    /// Whether this thread is in here already: what we do ourselves isn't recorded.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn recorder() -> Option<&'static Mutex<Recorder>> {
    static RECORDER: OnceLock<Option<Mutex<Recorder>>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let root = std::env::var("POWER_CUT_ROOT").ok()?;
            let trace = CString::new(std::env::var("POWER_CUT_TRACE").ok()?).ok()?;
            let open = real!("open64", *const c_char, c_int, c_int => c_int);
            // SAFETY: a valid path.
            let trace = unsafe { open(trace.as_ptr(), O_WRONLY | O_CREAT | O_APPEND, 0o600) };
            let files = HashMap::new();
            let last_words = std::env::var("POWER_CUT_LAST_WORDS").ok();
            let recorder = Recorder {
                root,
                trace,
                files,
                last_words,
                has_said_them: false,
            };
            (trace >= 0).then(|| Mutex::new(recorder))
        })
        .as_ref()
}

/// Runs `work` with the recorder, alone; not from within itself.
fn with<T>(work: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
    if INSIDE
        .try_with(|inside| inside.replace(true))
        .unwrap_or(true)
    {
        return None;
    }
    let done =
        recorder().map(|recorder| work(&mut recorder.lock().unwrap_or_else(|e| e.into_inner())));
    let _ = INSIDE.try_with(|inside| inside.set(false));
    done
}

impl Recorder {
    fn note(&self, kind: u8, path: &str, number: u64, data: &[u8]) {
        let mut record = vec![kind];
        record.extend((path.len() as u32).to_le_bytes());
        record.extend(number.to_le_bytes());
        record.extend((data.len() as u32).to_le_bytes());
        record.extend(path.as_bytes());
        record.extend(data);
        let write = real!("write", c_int, *const c_void, usize => isize);
        // SAFETY: the record is that long.
        unsafe { write(self.trace, record.as_ptr().cast(), record.len()) };
    }

    /// A path below the folder, relative to it.
    fn below(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.root.as_str())?;
        Some(rest.trim_start_matches('/').to_owned())
    }
}

fn text(path: *const c_char) -> String {
    // SAFETY: callers give a C string, as they do to the C library.
    unsafe { CStr::from_ptr(path) }
        .to_string_lossy()
        .into_owned()
}

fn opened(fd: c_int, path: *const c_char, flags: c_int) -> c_int {
    if fd >= 0 {
        let path = text(path);
        with(|r| {
            r.files.remove(&fd);
            let Some(name) = r.below(&path) else { return };
            if flags & O_CREAT != 0 {
                r.note(b'C', &name, 0, &[]);
            }
            if flags & O_TRUNC != 0 {
                r.note(b'T', &name, 0, &[]);
            }
            r.files.insert(fd, name);
        });
    }
    fd
}

macro_rules! opens {
    ($($name:ident $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
            let real = real!($text, *const c_char, c_int, c_int => c_int);
            opened(unsafe { real(path, flags, mode) }, path, flags)
        }
    )*};
}
opens!(open "open", open64 "open64");

macro_rules! opens_at {
    ($($name:ident $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(dir: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int {
            let real = real!($text, c_int, *const c_char, c_int, c_int => c_int);
            opened(unsafe { real(dir, path, flags, mode) }, path, flags)
        }
    )*};
}
opens_at!(openat "openat", openat64 "openat64");

#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    with(|r| r.files.remove(&fd));
    unsafe { real!("close", c_int => c_int)(fd) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, data: *const c_void, len: usize) -> isize {
    let real = real!("write", c_int, *const c_void, usize => isize);
    let seen = with(|r| {
        // SAFETY: the caller's own arguments.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
        if fd == 1 {
            r.note(b'A', "", 0, bytes);
            let said = String::from_utf8_lossy(bytes);
            let last = r.last_words.as_ref();
            r.has_said_them |= last.is_some_and(|words| said.contains(words));
        }
        let name = r.files.get(&fd).cloned();
        let at = name.as_ref().map(|_| unsafe { lseek(fd, 0, SEEK_CUR) });
        let written = unsafe { real(fd, data, len) };
        if let (Some(name), Some(at), true) = (name, at, written > 0) {
            r.note(b'W', &name, at as u64, &bytes[..written as usize]);
        }
        written
    });
    seen.unwrap_or_else(|| unsafe { real(fd, data, len) })
}

macro_rules! pwrites {
    ($($name:ident $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int, data: *const c_void, len: usize, at: i64) -> isize {
            let real = real!($text, c_int, *const c_void, usize, i64 => isize);
            let seen = with(|r| {
                let written = unsafe { real(fd, data, len, at) };
                if let (Some(name), true) = (r.files.get(&fd), written > 0) {
                    // SAFETY: the caller's own arguments.
                    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), written as usize) };
                    r.note(b'W', name, at as u64, bytes);
                }
                written
            });
            seen.unwrap_or_else(|| unsafe { real(fd, data, len, at) })
        }
    )*};
}
pwrites!(pwrite "pwrite", pwrite64 "pwrite64");

macro_rules! truncates {
    ($($name:ident $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int, len: i64) -> c_int {
            let real = real!($text, c_int, i64 => c_int);
            let seen = with(|r| {
                if let Some(name) = r.files.get(&fd) {
                    r.note(b'T', name, len as u64, &[]);
                }
                unsafe { real(fd, len) }
            });
            seen.unwrap_or_else(|| unsafe { real(fd, len) })
        }
    )*};
}
truncates!(ftruncate "ftruncate", ftruncate64 "ftruncate64");

macro_rules! syncs {
    ($($name:ident $text:literal),*) => {$(
        /// Begin and end are noted apart: only what was written before the begin is safe at the end.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int) -> c_int {
            let real = real!($text, c_int => c_int);
            let name = with(|r| {
                let name = r.files.get(&fd).cloned();
                if let Some(name) = &name {
                    r.note(b'F', name, fd as u64, &[]);
                    if r.has_said_them {
                        // SAFETY: our own process.
                        unsafe { kill(getpid(), SIGKILL) };
                    }
                }
                name
            });
            let done = unsafe { real(fd) };
            if let (Some(Some(name)), 0) = (name, done) {
                with(|r| r.note(b'E', &name, fd as u64, &[]));
            }
            done
        }
    )*};
}
syncs!(fsync "fsync", fdatasync "fdatasync");

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let real = real!("rename", *const c_char, *const c_char => c_int);
    let (source, target) = (text(from), text(to));
    let seen = with(|r| {
        let done = unsafe { real(from, to) };
        if let (Some(source), Some(target), 0) = (r.below(&source), r.below(&target), done) {
            for name in r.files.values_mut().filter(|name| **name == source) {
                *name = target.clone();
            }
            r.note(b'R', &source, 0, target.as_bytes());
        }
        done
    });
    seen.unwrap_or_else(|| unsafe { real(from, to) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let real = real!("unlink", *const c_char => c_int);
    let name = text(path);
    let seen = with(|r| {
        let done = unsafe { real(path) };
        if let (Some(name), 0) = (r.below(&name), done) {
            r.note(b'U', &name, 0, &[]);
        }
        done
    });
    seen.unwrap_or_else(|| unsafe { real(path) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    if dir == AT_FDCWD && flags == 0 {
        return unsafe { unlink(path) };
    }
    unsafe { real!("unlinkat", c_int, *const c_char, c_int => c_int)(dir, path, flags) }
}
