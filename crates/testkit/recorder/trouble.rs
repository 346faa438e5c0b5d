//! Preloaded into a program, it makes the machine below it troublesome: a wall clock that is wrong, an fsync that is slow
//! or fails, a folder that can't be written to. What is wrong is read from a page that the test shares with it.
//! Compiled on its own by `mainstay_testkit::Trouble`; it uses nothing but std.
//!
//! Covered is what goes through the C library: Rust's std, SQLite and PostgreSQL do. Raw system calls are not seen (here:
//! locks, and space reserved ahead). A path is compared as text with the root, so that the program must name its files by
//! absolute paths: what is relative, or below a folder's descriptor, is held back only once it writes to the open file.
//! Without a root no file is held back.

#![allow(unused_unsafe)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

const RTLD_NEXT: *mut c_void = -1isize as *mut c_void;
const O_RDWR: c_int = 2;
const O_WRONLY: c_int = 1;
const O_CREAT: c_int = 0o100;
const EIO: c_int = 5;
const EROFS: c_int = 30;
const REALTIME: [c_int; 2] = [0, 5];

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn readlink(path: *const c_char, to: *mut c_char, len: usize) -> isize;
    fn __errno_location() -> *mut c_int;
}

macro_rules! real {
    ($name:literal, $($type:ty),* => $out:ty) => {{
        static FOUND: OnceLock<usize> = OnceLock::new();
        let found = *FOUND.get_or_init(|| unsafe { dlsym(RTLD_NEXT, concat!($name, "\0").as_ptr().cast()) } as usize);
        // SAFETY: the C library's function of this name has this signature.
        unsafe { std::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $out>(found) }
    }};
}

/// What the test and the program share.
#[repr(C)]
struct Page {
    /// Added to the wall clock, s.
    wall: AtomicI64,
    /// Added to each fsync, µs.
    fsync: AtomicI64,
    /// Not 0: each fsync fails.
    fsync_fails: AtomicI64,
    /// Not 0: nothing below the root can be written to.
    read_only: AtomicI64,
    /// How often fsync was called.
    fsyncs: AtomicI64,
}

fn page() -> Option<&'static Page> {
    static PAGE: OnceLock<Option<usize>> = OnceLock::new();
    let at = PAGE.get_or_init(|| {
        let path = CString::new(std::env::var("TROUBLE_PAGE").ok()?).ok()?;
        let open = real!("open64", *const c_char, c_int, c_int => c_int);
        let close = real!("close", c_int => c_int);
        // SAFETY: a valid path; the file is as long as the page, and shared readable and writable.
        unsafe {
            let fd = open(path.as_ptr(), O_RDWR, 0);
            let at = mmap(std::ptr::null_mut(), size_of::<Page>(), 3, 1, fd, 0);
            close(fd);
            (at as isize != -1).then_some(at as usize)
        }
    });
    // SAFETY: mapped above, for as long as the program runs.
    at.map(|at| unsafe { &*(at as *const Page) })
}

fn root() -> &'static str {
    static ROOT: OnceLock<String> = OnceLock::new();
    ROOT.get_or_init(|| std::env::var("TROUBLE_ROOT").unwrap_or_default())
}

fn fail(error: c_int) -> c_int {
    // SAFETY: this thread's own.
    unsafe { *__errno_location() = error };
    -1
}

fn is_locked(path: *const c_char) -> bool {
    page().is_some_and(|page| page.read_only.load(Relaxed) != 0)
        // SAFETY: callers give a C string, as they do to the C library.
        && is_below_root(unsafe { CStr::from_ptr(path) }.to_bytes())
}

fn is_below_root(path: &[u8]) -> bool {
    let rest = path.strip_prefix(root().as_bytes());
    !root().is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn is_file_locked(fd: c_int) -> bool {
    if page().is_none_or(|page| page.read_only.load(Relaxed) == 0) {
        return false;
    }
    let Ok(link) = CString::new(format!("/proc/self/fd/{fd}")) else { return false };
    let mut path = [0 as c_char; 4096];
    // SAFETY: one byte is left for the end of the string.
    unsafe { readlink(link.as_ptr(), path.as_mut_ptr(), path.len() - 1) };
    is_locked(path.as_ptr())
}

macro_rules! opens {
    ($($name:ident $text:literal ($($dir:ident)?)),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($dir: c_int,)? path: *const c_char, flags: c_int, mode: c_int) -> c_int {
            if flags & (O_WRONLY | O_RDWR | O_CREAT) != 0 && is_locked(path) {
                return fail(EROFS);
            }
            unsafe { real!($text, $(opens!(@ $dir),)? *const c_char, c_int, c_int => c_int)($($dir,)? path, flags, mode) }
        }
    )*};
    (@ $dir:ident) => { c_int };
}
opens!(open "open" (), open64 "open64" (), openat "openat" (dir), openat64 "openat64" (dir));

macro_rules! on_files {
    ($($name:ident $text:literal ($($more:ident: $type:ty),*) -> $out:ty),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int, $($more: $type),*) -> $out {
            if is_file_locked(fd) {
                return fail(EROFS) as $out;
            }
            unsafe { real!($text, c_int $(, $type)* => $out)(fd $(, $more)*) }
        }
    )*};
}
on_files!(
    write "write" (data: *const c_void, len: usize) -> isize,
    pwrite "pwrite" (data: *const c_void, len: usize, at: i64) -> isize,
    pwrite64 "pwrite64" (data: *const c_void, len: usize, at: i64) -> isize,
    writev "writev" (pieces: *const c_void, count: c_int) -> isize,
    pwritev "pwritev" (pieces: *const c_void, count: c_int, at: i64) -> isize,
    pwritev64 "pwritev64" (pieces: *const c_void, count: c_int, at: i64) -> isize,
    ftruncate "ftruncate" (len: i64) -> c_int,
    ftruncate64 "ftruncate64" (len: i64) -> c_int,
    fchmod "fchmod" (mode: c_int) -> c_int
);

macro_rules! on_paths {
    ($($name:ident $text:literal ($($more:ident: $type:ty),*)),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(path: *const c_char, $($more: $type),*) -> c_int {
            if is_locked(path) {
                return fail(EROFS);
            }
            unsafe { real!($text, *const c_char $(, $type)* => c_int)(path $(, $more)*) }
        }
    )*};
}
on_paths!(
    rename "rename" (to: *const c_char),
    link "link" (to: *const c_char),
    unlink "unlink" (),
    rmdir "rmdir" (),
    mkdir "mkdir" (mode: c_int),
    chmod "chmod" (mode: c_int)
);

macro_rules! on_paths_at {
    ($($name:ident $text:literal ($($more:ident: $type:ty),*)),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(dir: c_int, path: *const c_char, $($more: $type),*) -> c_int {
            if is_locked(path) {
                return fail(EROFS);
            }
            unsafe { real!($text, c_int, *const c_char $(, $type)* => c_int)(dir, path $(, $more)*) }
        }
    )*};
}
on_paths_at!(
    unlinkat "unlinkat" (flags: c_int),
    mkdirat "mkdirat" (mode: c_int),
    renameat "renameat" (to_dir: c_int, to: *const c_char),
    linkat "linkat" (to_dir: c_int, to: *const c_char, flags: c_int)
);

macro_rules! syncs {
    ($($name:ident $text:literal),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int) -> c_int {
            if let Some(page) = page() {
                page.fsyncs.fetch_add(1, Relaxed);
                if page.fsync_fails.load(Relaxed) != 0 {
                    return fail(EIO);
                }
                let slow = u64::try_from(page.fsync.load(Relaxed)).unwrap_or(0);
                if slow > 0 {
                    std::thread::sleep(std::time::Duration::from_micros(slow));
                }
            }
            unsafe { real!($text, c_int => c_int)(fd) }
        }
    )*};
}
syncs!(fsync "fsync", fdatasync "fdatasync");

/// Seconds, and what is smaller: `timespec` and `timeval`.
#[repr(C)]
struct Time {
    seconds: i64,
    fraction: c_long,
}

fn jump(time: *mut Time) {
    // SAFETY: the caller's own, filled in by the C library; it may be null.
    if let (Some(page), Some(time)) = (page(), unsafe { time.as_mut() }) {
        time.seconds += page.wall.load(Relaxed);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    let done = unsafe { real!("clock_gettime", c_int, *mut Time => c_int)(clock, time) };
    if done == 0 && REALTIME.contains(&clock) {
        jump(time);
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut Time, zone: *mut c_void) -> c_int {
    let done = unsafe { real!("gettimeofday", *mut Time, *mut c_void => c_int)(time, zone) };
    if done == 0 {
        jump(time);
    }
    done
}
