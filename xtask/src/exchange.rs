//! Real Helm on the other side: what one program packs, signs, lists and pushes, the other finds, fetches and verifies.
//! Between them are Debian's `docker-registry`, which wants a password, and a web server that wants one too.

use crate::programs::{husk, on_path, root, run};
use crate::{go_program::HELM, verbs};
use base64::Engine as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const USER: &str = "me";
const PASSWORD: &str = "secret";
/// The password as `htpasswd -B` has it.
const HTPASSWD: &str = "me:$2y$05$lYxSTTrLSbx3VvGW4Ikk3.GxEDyNxAlGbN37Ru2bVrAuDWa9KmJXa\n";
const PASSPHRASE: &str = "correct horse\n";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn check(given_husk: Option<PathBuf>, given_helm: Option<PathBuf>) -> Result<(), String> {
    let husk = husk(given_husk)?;
    let helm = match given_helm.or_else(|| on_path("helm")) {
        Some(helm) => helm,
        None => HELM.built()?,
    };
    verbs::check(&husk, &helm)?;
    let daemon = on_path("docker-registry")
        .ok_or("docker-registry is not installed (Debian: apt-get install docker-registry)")?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let registry = Registry::start(&daemon, &directory.path().join("registry"))?;
    let mut steps = 0;
    for (maker, user) in [(&helm, &husk), (&husk, &helm)] {
        let place = directory.path().join(name(maker));
        let world = World::make(&place, maker, user, &registry.address)?;
        steps += world.walk()?;
    }
    println!("{steps} passed, 0 failed");
    Ok(())
}

fn name(program: &Path) -> String {
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The registry, until it is dropped.
struct Registry {
    daemon: Child,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Registry {
    fn start(daemon: &Path, place: &Path) -> Result<Registry, String> {
        let told = |error: std::io::Error| error.to_string();
        fs::create_dir_all(place).map_err(told)?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(told)?;
        let address = format!("localhost:{}", free.port());
        let (store, passwords) = (place.join("store"), place.join("htpasswd"));
        fs::write(&passwords, HTPASSWD).map_err(told)?;
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: \
             {{addr: \"{address}\"}}\nauth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            store.display(),
            passwords.display()
        );
        let file = place.join("config.yml");
        fs::write(&file, config).map_err(told)?;
        let log = fs::File::create(place.join("log")).map_err(told)?;
        let child = Command::new(daemon).arg("serve").arg(&file).stdout(Stdio::null()).stderr(log).spawn();
        let mut registry = Registry { daemon: child.map_err(told)?, address };
        let begun = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            if let Ok(Some(status)) = registry.daemon.try_wait() {
                return Err(format!(
                    "docker-registry ended with {status}:\n{}",
                    fs::read_to_string(place.join("log")).unwrap_or_default()
                ));
            }
            if begun.elapsed() > PATIENCE {
                return Err("docker-registry does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(registry)
    }
}

/// Serves the files of a directory to who knows the password.
fn web_server(directory: PathBuf) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &directory);
        }
    });
    Ok(format!("http://{address}"))
}

fn answer(mut stream: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let mut known = false;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            known |= name.eq_ignore_ascii_case("authorization") && value.trim() == wanted;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (status, body) = match (known, fs::read(directory.join(&path))) {
        (false, _) => ("401 Unauthorized", Vec::new()),
        (true, Ok(body)) if !path.contains("..") => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// One program makes, the other uses.
struct World {
    place: PathBuf,
    maker: PathBuf,
    user: PathBuf,
    site: String,
    registry: String,
    keys: PathBuf,
}

impl World {
    fn make(place: &Path, maker: &Path, user: &Path, registry: &str) -> Result<World, String> {
        let told = |error: std::io::Error| error.to_string();
        fs::create_dir_all(place.join("site")).map_err(told)?;
        for chart in ["base", "app"] {
            write_chart(&place.join(chart), chart, "").map_err(told)?;
        }
        fs::write(place.join("passphrase"), PASSPHRASE).map_err(told)?;
        Ok(World {
            place: place.to_owned(),
            maker: maker.to_owned(),
            user: user.to_owned(),
            site: web_server(place.join("site"))?,
            registry: format!("oci://{registry}/{}", name(maker)),
            keys: root().join("crates/chart/tests/data/provenance"),
        })
    }

    /// Calls a program; every program has a home of its own.
    fn call(&self, program: &Path, line: &str) -> Result<String, String> {
        let home = self.place.join(format!("home-of-{}", name(program)));
        let mut command = Command::new(program);
        command.current_dir(&self.place).env("HOME", &home).env_remove("GNUPGHOME");
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), home.join(kind)).env_remove(format!("XDG_{kind}_HOME"));
        }
        if name(program).starts_with("husk") {
            command.arg("helm");
        }
        let words = line.split(' ').map(|word| {
            let replaced = word.replace("SITE", &self.site).replace("OCI", &self.registry);
            replaced.replace("KEYS", &self.keys.display().to_string())
        });
        let output = run(command.args(words))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn same(&self, a: &str, b: &str) -> Result<(), String> {
        let read = |path: &str| fs::read(self.place.join(path)).map_err(|error| format!("{path}: {error}"));
        if read(a)? == read(b)? { Ok(()) } else { Err(format!("{a} and {b} differ")) }
    }

    /// Returns how many things were looked at.
    fn walk(&self) -> Result<usize, String> {
        let (maker, user) = (self.maker.as_path(), self.user.as_path());
        let shown = format!("{} makes, {} uses", name(maker), name(user));
        let login = format!("registry login {} -u {USER} -p {PASSWORD} --plain-http", self.registry_host());
        let sign = "--sign --key locked@husk --keyring KEYS/secring.gpg --passphrase-file passphrase";
        let mut steps = 0;
        let mut done = |what: &str| {
            steps += 1;
            println!("{shown}: {what}");
        };

        self.call(maker, &format!("package app base -d site {sign}"))?;
        let both = [self.call(maker, VERIFY)?, self.call(user, VERIFY)?];
        if both[0] != both[1] || !both[0].contains("Husk Locked") {
            return Err(format!("the programs say different things about a signature:\n{}\n{}", both[0], both[1]));
        }
        for ring in ["pubring.kbx", "pubring.asc"] {
            self.call(user, &VERIFY.replace("pubring.gpg", ring))?;
        }
        done("signatures verify, with every form of a keyring");
        self.refused(user)?;
        done("what was changed after signing is refused");

        self.call(maker, "repo index site --url SITE")?;
        self.call(user, &format!("repo add site SITE --username {USER} --password {PASSWORD}"))?;
        contains(&self.call(user, "search repo site/app")?, "1.0.0")?;
        fs::create_dir_all(self.place.join("from-site")).map_err(|error| error.to_string())?;
        self.call(user, "pull site/app --verify --keyring KEYS/pubring.gpg -d from-site")?;
        self.same("site/app-1.0.0.tgz", "from-site/app-1.0.0.tgz")?;
        self.same("site/app-1.0.0.tgz.prov", "from-site/app-1.0.0.tgz.prov")?;
        // Helm asks for this provenance file without the password, and fails.
        let verify = if name(user).starts_with("husk") { " --verify --keyring KEYS/pubring.gpg" } else { "" };
        contains(&self.call(user, &format!("template site/app{verify}"))?, "name: app")?;
        done("a repository with a password: added, searched, pulled, verified, rendered");

        for program in [maker, user] {
            self.call(program, &login)?;
        }
        for chart in ["app", "base"] {
            self.call(maker, &format!("push site/{chart}-1.0.0.tgz OCI --plain-http"))?;
        }
        fs::create_dir_all(self.place.join("from-oci")).map_err(|error| error.to_string())?;
        self.call(user, "pull OCI/app --version 1.0.0 --plain-http --verify --keyring KEYS/pubring.gpg -d from-oci")?;
        self.same("site/app-1.0.0.tgz", "from-oci/app-1.0.0.tgz")?;
        self.same("site/app-1.0.0.tgz.prov", "from-oci/app-1.0.0.tgz.prov")?;
        contains(&self.call(user, "show chart OCI/app --plain-http")?, "name: app")?;
        done("a registry with a password: logged in, pushed with provenance, pulled, verified, shown");

        let needs = format!(
            "dependencies:\n- {{name: app, version: ^1, repository: \"{}\"}}\n- {{name: base, version: \">=1.0\", repository: \"{}\"}}\n",
            self.site, self.registry
        );
        write_chart(&self.place.join("top"), "top", &needs).map_err(|error| error.to_string())?;
        self.call(maker, &format!("repo add site SITE --username {USER} --password {PASSWORD}"))?;
        let verify = "--plain-http --verify --keyring KEYS/pubring.gpg";
        self.call(maker, &format!("dependency update top {verify}"))?;
        let lock = fs::read(self.place.join("top/Chart.lock")).map_err(|error| error.to_string())?;
        fs::remove_dir_all(self.place.join("top/charts")).map_err(|error| error.to_string())?;
        self.call(user, &format!("dependency build top {verify}"))?;
        for chart in ["app", "base"] {
            self.same(&format!("site/{chart}-1.0.0.tgz"), &format!("top/charts/{chart}-1.0.0.tgz"))?;
        }
        done("dependencies from both: locked by one, built by the other");
        self.call(user, &format!("dependency update top {verify}"))?;
        if fs::read(self.place.join("top/Chart.lock")).map_err(|error| error.to_string())? != lock {
            return Err("the programs do not agree about Chart.lock".to_owned());
        }
        let rendered = [self.call(maker, "template top")?, self.call(user, "template top")?];
        if rendered[0] != rendered[1] {
            return Err("the programs render the chart with its dependencies differently".to_owned());
        }
        done("an update leaves the other's lock as it is, and both render the same");
        Ok(steps)
    }

    fn registry_host(&self) -> &str {
        self.registry.trim_start_matches("oci://").split('/').next().unwrap_or_default()
    }

    /// A changed archive and a stranger's keyring are refused.
    fn refused(&self, user: &Path) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        let changed = self.place.join("changed");
        fs::create_dir_all(&changed).map_err(told)?;
        let mut data = fs::read(self.place.join("site/app-1.0.0.tgz")).map_err(told)?;
        data.push(0);
        fs::write(changed.join("app-1.0.0.tgz"), data).map_err(told)?;
        fs::copy(self.place.join("site/app-1.0.0.tgz.prov"), changed.join("app-1.0.0.tgz.prov")).map_err(told)?;
        match self.call(user, "verify changed/app-1.0.0.tgz --keyring KEYS/pubring.gpg") {
            Ok(_) => Err("a changed archive is verified".to_owned()),
            Err(why) => contains(&why, "sha256 sum does not match for app-1.0.0.tgz"),
        }
    }
}

const VERIFY: &str = "verify site/app-1.0.0.tgz --keyring KEYS/pubring.gpg";

fn contains(text: &str, wanted: &str) -> Result<(), String> {
    if text.contains(wanted) { Ok(()) } else { Err(format!("{wanted:?} is not in: {text}")) }
}

fn write_chart(directory: &Path, name: &str, more: &str) -> std::io::Result<()> {
    fs::create_dir_all(directory.join("templates"))?;
    fs::write(directory.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n{more}"))?;
    fs::write(directory.join("values.yaml"), "greeting: hello\n")?;
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  text: {{{{ .Values.greeting }}}}\n"
    );
    fs::write(directory.join("templates/map.yaml"), map)
}
