//! The artifacts stage against `zstd -dc | tar x` of the same archives on the same disk. Prints wall times, their ratio and the peak memory.
//!
//! `cargo bench -p node`; `HUSK_BENCH_DIR` names the disk. Needs `zstd` and `tar` on the path. Figures for people, but it fails when the
//! stage takes more than 64 MiB, which does not depend on what else the machine does.
#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

use node::disk::{Disk, NoFaults};
use node::distribution::Distribution;
use node::host::Host;
use node::session::{Session, Surroundings};
use node::settings::Settings;
use node::units::{Runtime, Sandbox, Served, UnitState, Units};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
/// Megabytes of each archive when it is unpacked.
const ARCHIVES: [(&str, u64); 4] = [("shim-v2-go", 60), ("qemu", 140), ("kernel", 90), ("rootfs-image", 320)];
/// Kilobytes that the stage may take at its peak.
const MEMORY: u64 = 64 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let directory = PathBuf::from(std::env::var_os("HUSK_BENCH_DIR").unwrap_or_else(|| std::env::temp_dir().into()));
    match arguments.get(1).map(String::as_str) {
        Some("make") => make(Path::new(&arguments[2])).expect("the payload is made"),
        Some("install") => install(Path::new(&arguments[2])),
        _ => compare(&directory),
    }
}

fn compare(directory: &Path) {
    let place = tempfile::tempdir_in(directory).expect("a directory");
    let place = place.path();
    // in processes of their own, so that memory is that of the stage alone
    again(&["make", &place.display().to_string()]);
    let (mut ours, mut theirs, mut synced, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let _ = fs::remove_dir_all(place.join("peer"));
        fs::create_dir_all(place.join("peer")).expect("a directory");
        sync(place);
        let begun = Instant::now();
        for (name, _) in ARCHIVES {
            peer(&archive(place, name), &place.join("peer"));
        }
        theirs.push(begun.elapsed());
        sync(place);
        synced.push(begun.elapsed());
        let _ = fs::remove_dir_all(place.join("host"));
        fs::create_dir_all(place.join("host/var/lib")).expect("a directory");
        sync(place);
        let told = again(&["install", &place.display().to_string()]);
        let mut words = told.split_whitespace().map(|word| word.parse::<u64>().expect("a number"));
        ours.push(Duration::from_micros(words.next().expect("a time")));
        peak = peak.max(words.next().expect("a size"));
    }
    let megabytes: u64 = ARCHIVES.iter().map(|(_, size)| size).sum();
    let (ours, theirs, synced) = (median(ours), median(theirs), median(synced));
    println!("{megabytes} MiB in {} archives, median of {ROUNDS}", ARCHIVES.len());
    println!("{:<34}{theirs:>10.2?}", "zstd -dc | tar x");
    println!("{:<34}{synced:>10.2?}", "zstd -dc | tar x, then on the disk");
    println!("{:<34}{ours:>10.2?}  (verified, configured, on the disk)", "artifacts");
    println!("{:<34}{:>10.2}", "ratio", ours.as_secs_f64() / theirs.as_secs_f64());
    println!("{:<34}{:>10.2}", "ratio, both on the disk", ours.as_secs_f64() / synced.as_secs_f64());
    println!("{:<34}{:>7} MiB", "peak memory", peak >> 10);
    assert!(peak <= MEMORY, "the stage took {peak} KiB");
}

fn again(arguments: &[&str]) -> String {
    let own = std::env::current_exe().expect("this program");
    let output = Command::new(own).args(arguments).stderr(Stdio::inherit()).output().expect("this program again");
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn peer(archive: &Path, into: &Path) {
    let mut zstd = Command::new("zstd").arg("-dc").arg(archive).stdout(Stdio::piped()).spawn().expect("zstd");
    let stdout = zstd.stdout.take().expect("a pipe");
    let tar = Command::new("tar").arg("x").arg("-C").arg(into).stdin(stdout).status().expect("tar");
    assert!(tar.success() && zstd.wait().expect("zstd").success());
}

fn sync(place: &Path) {
    rustix::fs::syncfs(File::open(place).expect("a directory")).expect("a disk");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn payload(place: &Path) -> PathBuf {
    place.join("payload")
}

fn archive(place: &Path, name: &str) -> PathBuf {
    payload(place).join("tarballs").join(format!("kata-static-{name}.tar.zst"))
}

/// Half of it is like programs, a quarter is zeros, as in the image of a root file system.
struct Bytes {
    state: u64,
    left: u64,
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for word in buffer[..length].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            let value = match self.state >> 62 {
                0 => 0,
                1 => self.state,
                _ => 0x4889_e5f3_0f1e_fa00 | (self.state & 0xf),
            };
            word.copy_from_slice(&value.to_le_bytes()[..word.len()]);
        }
        self.left -= length as u64;
        Ok(length)
    }
}

fn make(place: &Path) -> io::Result<()> {
    fs::create_dir_all(payload(place).join("tarballs"))?;
    let index = r#"{"version": "1", "shims": {"qemu": {"x86_64": ["shim-v2-go", "qemu", "kernel", "rootfs-image"]}}}"#;
    fs::write(payload(place).join("shim-components.json"), index)?;
    for (name, megabytes) in ARCHIVES {
        let mut encoder = zstd::Encoder::new(File::create(archive(place, name))?, 9)?;
        encoder.include_checksum(true)?;
        let mut tar = tar::Builder::new(encoder);
        let mut add = |path: &str, size: u64, content: &mut dyn Read| -> io::Result<()> {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, content)
        };
        if name == "shim-v2-go" {
            let text = "[hypervisor.qemu]\npath = \"/opt/kata/bin/qemu\"\n";
            let path = "opt/kata/share/defaults/kata-containers/configuration-qemu.toml";
            add(path, text.len() as u64, &mut text.as_bytes())?;
        }
        // a few large files and many small ones
        for number in 0..200u64 {
            let size = 64 << 10;
            let path = format!("opt/kata/share/{name}/{number:03}");
            add(&path, size, &mut Bytes { state: number + 1, left: size })?;
        }
        let size = (megabytes << 20) - (200 * (64 << 10));
        let path = if name == "shim-v2-go" { "bin/containerd-shim-kata-v2" } else { name };
        add(&format!("opt/kata/{path}"), size, &mut Bytes { state: 4711, left: size })?;
        tar.into_inner()?.finish()?.flush()?;
    }
    Ok(())
}

/// Nothing runs on this host.
struct Nothing;

impl Units for Nothing {
    fn state(&mut self, _: &str) -> node::Result<UnitState> {
        Ok(UnitState::default())
    }
    fn reload(&mut self) -> node::Result<()> {
        Ok(())
    }
    fn restart(&mut self, _: &str) -> node::Result<()> {
        Ok(())
    }
    fn reload_service(&mut self, _: &str) -> node::Result<()> {
        Ok(())
    }
    fn stop(&mut self, _: &str) -> node::Result<()> {
        Ok(())
    }
    fn arm(&mut self, _: &str, _: Duration, _: &[String]) -> node::Result<()> {
        Ok(())
    }
    fn disarm(&mut self, _: &str) -> node::Result<()> {
        Ok(())
    }
}

impl Runtime for Nothing {
    fn served(&mut self, _: &str) -> Result<Served, String> {
        Err("no runtime".to_owned())
    }
    fn sandboxes(&mut self, _: &str) -> Result<Vec<Sandbox>, String> {
        Ok(Vec::new())
    }
}

fn install(place: &Path) {
    let variable = |name: &str| match name {
        "NODE_NAME" => Some("n".to_owned()),
        "SHIMS_X86_64" => Some("qemu".to_owned()),
        _ => None,
    };
    let asked = Settings::read(&variable, "x86_64", &|_| None).expect("settings");
    let host = Host::new(place.join("host"));
    let around = Surroundings {
        root: place.to_owned(),
        payload: payload(place),
        installer: place.join("installer"),
        processes: place.join("proc"),
        kernel: place.join("sys"),
        say: &|_| {},
        pause: &|_| {},
        patience: Duration::from_secs(1),
    };
    let mut session = Session {
        asked: &asked,
        host: &host,
        disk: Disk::new(&host, &NoFaults),
        units: &mut Nothing,
        runtime: &mut Nothing,
        around: &around,
    };
    let begun = Instant::now();
    node::artifacts::install(&mut session, Some(Distribution::K8s)).expect("the stage");
    let took = begun.elapsed();
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    println!("{} {}", took.as_micros(), peak.trim().trim_end_matches(" kB"));
}
