//! The error catalogue: every `HUSK-NNNN` that a user can meet, in one file.
//!
//! 1xxx values, charts and the command line; 2xxx one node (20xx host-check, 21xx artifacts, 22xx cri, 23xx labels,
//! ledger and the host itself); 3xxx the fleet; 4xxx releases and the cluster; 5xxx the sandbox. A number is never used
//! again for something else.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The number of an entry of the catalogue; it prints as `HUSK-2102`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HUSK-{:04}", self.0)
    }
}

impl std::str::FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("HUSK-").or_else(|| text.strip_prefix("husk-")).unwrap_or(text);
        match digits.parse() {
            Ok(number) if digits.len() == 4 => Ok(Code(number)),
            _ => Err(format!("`{text}` is not of the form HUSK-2102")),
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number.
    pub code: Code,
    /// A name for it, a few words.
    pub title: &'static str,
    /// What it means and how it comes about.
    pub meaning: &'static str,
    /// What Husk did about it.
    pub done: &'static str,
    /// What to do next.
    pub next: &'static str,
}

/// Returns the entry of a code.
pub fn entry(code: Code) -> Option<&'static Entry> {
    CATALOGUE.binary_search_by_key(&code, |entry| entry.code).ok().map(|index| &CATALOGUE[index])
}

macro_rules! catalogue {
    ($($number:literal $name:ident { $title:literal $meaning:literal $done:literal $next:literal })*) => {
        impl Code {
            $(#[doc = $title] pub const $name: Code = Code($number);)*
        }
        /// Every entry, by number.
        pub static CATALOGUE: &[Entry] = &[
            $(Entry { code: Code($number), title: $title, meaning: $meaning, done: $done, next: $next }),*
        ];
    };
}

// number, name, then: title; meaning; what was done; what to do next
catalogue! {
    1001 UNKNOWN_VALUE {
        "unknown values key"
        "A values file or --set names a key that the chart does not have; most often a typing error."
        "Nothing was changed: values are checked before anything else."
        "Correct the key (the message names the nearest one), or set `global.lenient: true` to accept unknown keys."
    }
    1002 UNKNOWN_SHIM {
        "unknown shim"
        "The values enable or configure a shim that neither the chart nor the payload knows."
        "Nothing was changed."
        "Use one of the shims that the message lists; a runtime of your own belongs under `customRuntimes`."
    }
    1003 BAD_VALUES {
        "values not accepted"
        "A value has the wrong type, or two values contradict each other."
        "Nothing was changed."
        "Correct the value that the message names."
    }
    1004 BAD_CHART {
        "chart cannot be rendered"
        "The chart could not be loaded or one of its templates failed."
        "Nothing was changed."
        "Read the template position in the message; for Husk's own charts this is a bug worth reporting."
    }
    1005 UNREADABLE_FILE {
        "file cannot be read"
        "A file named on the command line does not exist or is not readable YAML."
        "Nothing was changed."
        "Check the path and the line that the message names."
    }
    2001 DISTRIBUTION_MISMATCH {
        "declared distribution contradicts the host"
        "`k8sDistribution` names one distribution and the host shows evidence of another; configuration written for the declared one would never be read."
        "The node was left untouched."
        "Set `k8sDistribution` to what the message shows, or to `auto` to detect it on every node."
    }
    2002 SHIM_NOT_FOR_ARCHITECTURE {
        "shim not available for this architecture"
        "The payload has no components for an enabled shim on this node's architecture."
        "The node was left untouched."
        "Disable the shim, narrow its `supportedArches`, or exclude nodes of this architecture."
    }
    2003 BAD_SETTINGS {
        "installer settings not accepted"
        "An environment variable of the installer has a value that cannot be meant."
        "The node was left untouched."
        "Correct the value that the message names; with the charts this is a key of the values file."
    }
    2004 HOST_UNFIT {
        "host check failed"
        "The host cannot do what the values ask: the report lists each failed check with its evidence."
        "The node was left untouched."
        "Repair what the checks name, or leave this node out of the selection."
    }
    2005 NOT_WRITABLE {
        "host path not writable"
        "A directory that the installation writes to is on a read-only file system or missing."
        "The node was left untouched, or returned to its old state."
        "Choose a writable place with `installationPrefix`, or use the operating system's own extension for Kata."
    }
    2006 NODE_IDENTITY {
        "another machine answers for this node"
        "The host's machine id is not the one that the Node object showed: the node was replaced while its Job was on the way."
        "The node was left untouched."
        "Run the command again; the new machine gets a Job of its own."
    }
    2007 RUNTIME_UNKNOWN {
        "container runtime not recognised"
        "The node runs a container runtime, or a version of one, that Husk does not configure."
        "The node was left untouched."
        "Use containerd 1.6 or later, or CRI-O; leave other nodes out of the selection."
    }
    2008 NO_VIRTUALIZATION {
        "no hardware virtualization"
        "The processor shows no virtualization, or `/dev/kvm` is not there: sandboxes are virtual machines and cannot start."
        "A warning; the installation went on."
        "Switch virtualization on in the firmware, or nested virtualization on the machine's own hypervisor, and load the module kvm_intel, kvm_amd or kvm."
    }
    2009 NO_VSOCK {
        "no vsock for guests"
        "`/dev/vhost-vsock` is not there; the agent in a guest is reached through it."
        "A warning; the installation went on."
        "Load the kernel module vhost_vsock (`modprobe vhost_vsock`, and a line in /etc/modules-load.d)."
    }
    2010 NESTED_VIRTUALIZATION {
        "host is a virtual machine"
        "The host is itself a virtual machine, so sandboxes are virtual machines within one: they are slower, and confidential hardware is rarely passed on."
        "A warning; the installation went on."
        "Use bare-metal machines, or the shim `remote`, which makes sandboxes beside the host; for a trial nothing needs to be done."
    }
    2011 TEE_OFF {
        "confidential hardware not on"
        "An enabled shim needs SEV-SNP, TDX or Secure Execution, and processor, firmware or kernel of this host do not have it on."
        "A warning; the installation went on. Sandboxes of that shim will not start on this node."
        "Switch it on in the firmware and on the kernel's command line, or give the shim a `nodeSelector` that leaves this node out."
    }
    2012 TEE_KEYS {
        "key slots of confidential guests"
        "Each confidential guest takes a key slot of the processor (an ASID of SEV, a key of TDX, a guest of the ultravisor); this host has none, or none left."
        "A warning; the installation went on."
        "Let the firmware reserve more (for SEV-SNP: the number of ASIDs for SEV-ES), or end other confidential guests. Unknown is nothing to worry about: containers seldom see the count."
    }
    2013 CGROUPS {
        "cgroups"
        "The host has cgroups v1 or a mixture of v1 and v2, lacks a controller, or does not show its cgroups."
        "A warning; the installation went on."
        "Boot with cgroups v2 (`systemd.unified_cgroup_hierarchy=1` on older systems); newer kubelets refuse v1."
    }
    2014 KERNEL_OLD {
        "kernel"
        "The kernel is older than what Kubernetes and Kata are made for, or its release cannot be read."
        "A warning; the installation went on."
        "Upgrade the kernel to 4.19 or later."
    }
    2015 SELINUX {
        "SELinux"
        "SELinux enforces and the host shows no policy whose labels could be set, or it cannot be seen whether it enforces."
        "A warning; the installation went on. Where a policy is found, files get its labels."
        "If the runtime may not start the shims, give the programs the type bin_t (`semanage fcontext`, `restorecon`)."
    }
    2016 KUBELET_TIMEOUT {
        "kubelet is impatient"
        "Images are pulled inside the guest or by a snapshotter, which can take longer than the kubelet's `runtimeRequestTimeout`, 2 minutes by default."
        "A warning; the installation went on."
        "Set `runtimeRequestTimeout: 10m` in the kubelet's configuration and restart it."
    }
    2017 HOST_IS_CONTAINER {
        "host is a container"
        "The node is a container of another machine, as with kind: devices, modules and cgroups are that machine's."
        "A warning; the installation went on."
        "Pass /dev/kvm and /dev/vhost-vsock into it; use such nodes for trials only."
    }
    2018 RUNTIME_NOT_READY {
        "container runtime not ready"
        "Before anything was changed the runtime did not answer on its CRI socket, or said that it is not ready."
        "A warning; the installation went on. Its proof after the restart needs a runtime that is ready."
        "Look at the runtime's journal on the node; a missing network plugin is the most common cause."
    }
    2101 PAYLOAD_MISSING {
        "payload archive missing"
        "An archive that an enabled shim needs is not in the payload."
        "The node was left untouched."
        "Check `image.reference` and `image.tag`: the payload image must hold /opt/kata-artifacts of the wanted version."
    }
    2102 PAYLOAD_CORRUPT {
        "payload archive damaged"
        "An archive is truncated, fails its checksum or is not a Zstandard tar archive."
        "The unpacked pieces were removed; the node's old version, if any, is still in use."
        "Fetch the payload again; compare its digest with the one published."
    }
    2103 DISK_FULL {
        "not enough disk space"
        "The file system of the installation has too little room for the payload."
        "What had been unpacked was removed; the node's old version, if any, is still in use."
        "Free the space that the message names, or choose another place with `installationPrefix`."
    }
    2104 PAYLOAD_INCOMPLETE {
        "payload lacks a file"
        "The payload was unpacked or listed, and a program or configuration that an enabled shim or snapshotter needs is not in it."
        "What had been unpacked was removed; the node's old version, if any, is still in use."
        "Use a payload of the version that the shim belongs to, or disable the shim or snapshotter."
    }
    2105 PATH_OCCUPIED {
        "installation path belongs to somebody else"
        "Where the installation's link should be there is a directory or file that Husk did not make."
        "The node was left untouched."
        "Remove the other installation with its own tool, or install beside it with `multiInstallSuffix`."
    }
    2106 PAYLOAD_NOT_FETCHED {
        "payload not downloaded"
        "The payload could not be transferred: its registry or server refused, was not reached, was not trusted, fell silent or broke off."
        "What had arrived was removed; an earlier version stays in use."
        "Check the name from the node. Give a pull secret, mirrors, or behind a proxy HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE."
    }
    2107 PAYLOAD_IN_USE {
        "payload in use"
        "The payload's files cannot be removed while sandboxes run from them."
        "The files stay, and so does the record of them; everything else of this installation is gone from the node."
        "Stop the pods that use its handlers (`kubectl get pods -A --field-selector spec.nodeName=NODE`), then remove again."
    }
    2201 RUNTIME_CONFIG_UNREADABLE {
        "container runtime configuration unreadable"
        "The runtime's configuration file on the host is not valid TOML or has a schema version that Husk does not know."
        "The node was left untouched."
        "Repair the file at the line that the message names; the runtime itself would refuse it at its next restart."
    }
    2202 RUNTIME_REFUSED {
        "container runtime refused the new configuration"
        "The runtime did not come back after its restart, or came back without the new handlers."
        "The old configuration was put back, byte for byte, and the runtime restarted with it."
        "Read the runtime's own message (`journalctl -u containerd` or `-u crio` on the node), then run the command again."
    }
    2203 RUNTIME_CONFIG_CONFLICT {
        "merged runtime configuration would be refused"
        "The runtime's configuration together with ours breaks one of the runtime's own rules, such as an import of a missing file or a disabled CRI plugin."
        "The node was left untouched: this is checked before anything is written."
        "Repair the file that the message names."
    }
    2204 DROP_IN_NOT_READ {
        "the distribution would not read our configuration"
        "k3s and RKE2 render the runtime's configuration from a template that neither imports our drop-in nor can take our lines."
        "The node was left untouched."
        "Do what the message says to the template, or remove a template of your own to use the distribution's."
    }
    2205 SNAPSHOTTER_UNAVAILABLE {
        "snapshotter cannot be set up"
        "A snapshotter that the values ask for needs another runtime version, kernel feature or program than this host has."
        "The node was left untouched."
        "Take the snapshotter out of `snapshotter.setup` for this node, or upgrade what the message names."
    }
    2206 CHANGED_MEANWHILE {
        "file changed during the installation"
        "Somebody else changed a file between the moment it was read and the moment it was to be written."
        "Nothing of theirs was overwritten; the edits made so far were taken back."
        "Run the command again; if it happens again, find out which tool manages the file."
    }
    2207 CONTAINERD_NOT_REPLACEABLE {
        "this host cannot run another containerd"
        "`customContainerd` selects a node whose containerd belongs to its distribution, that runs CRI-O, or that has no unit of containerd."
        "The node was left untouched."
        "Leave the node out with `customContainerd.nodeSelector`, or upgrade the distribution instead."
    }
    2208 CONTAINERD_NOT_FETCHED {
        "custom containerd not downloaded"
        "The tarball of `customContainerd` could not be transferred: a server or proxy refused, was not reached, was not trusted, or broke off."
        "What had arrived was removed; the host's own containerd runs on."
        "Check the URL from the node. Behind a proxy, give HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE with `node.envFrom`."
    }
    2209 CONTAINERD_UNFIT {
        "custom containerd not usable"
        "The tarball of `customContainerd` has another checksum than the values say, is no release of containerd, or is for another architecture."
        "What had been unpacked was removed; the host's own containerd runs on."
        "Correct `customContainerd.tarballUrl(s)` and `sha256(s)`; a tarball has bin/containerd and bin/containerd-shim-runc-v2."
    }
    2210 RUNTIME_SILENT {
        "container runtime did not come back in time"
        "After the restart the runtime neither came up nor failed, or came up and did not answer on its CRI socket, for as long as it was given."
        "The old configuration was put back, byte for byte, and the runtime was restarted with it."
        "Look at the unit's journal on the node and at its load; `node.restartTimeoutSeconds` in the values gives it more time. It is tried again."
    }
    2211 RUNTIME_DOWN {
        "container runtime runs with neither configuration"
        "The runtime did not come back with the new configuration, and after that was taken back not with its old one either: the cause is elsewhere."
        "The old files are back, byte for byte; the runtime is down and no pod can start on the node. Running pods go on."
        "Repair the runtime on the node (`journalctl -u containerd` or `-u crio` says what it lacks) and start it, then run the command again."
    }
    2301 LABEL_FAILED {
        "Node object not updated"
        "The Kubernetes API refused or did not answer a change of the node's labels or taints."
        "The host is installed; only the mark on the Node is missing."
        "Check the installer's ServiceAccount and the API server, then run the command again."
    }
    2302 LEDGER_UNREADABLE {
        "ledger unreadable"
        "The record of what Husk owns on this host cannot be read, or is of a newer version."
        "The node was left untouched."
        "Use the version that wrote it, or repair the file that the message names."
    }
    2303 HOST_IO {
        "input/output error on the host"
        "Reading or writing a file of the host failed."
        "The stage stopped; running it again goes on where it stopped, removal undoes it."
        "Read the cause in the message and look at the node's disk and kernel log."
    }
    2304 SYSTEMD_UNREACHABLE {
        "systemd not reachable"
        "The host's systemd did not answer on its private socket, or refused a request."
        "Edits of the running stage were taken back."
        "Check that /run is mounted into the installer and that the host runs systemd."
    }
    2305 NODE_BUSY {
        "another installer is at work"
        "A second installer, perhaps of another installation, holds the lock of this node."
        "The node was left to the other one."
        "Wait for it to finish; Husk tries again by itself when run from a Job."
    }
    3001 NO_NODE_SELECTED {
        "no node selected"
        "The selection rules leave no node to install on."
        "Nothing was changed."
        "The message lists each node with the rule that left it out; change `nodeSelector`, `affinity` or the tolerations."
    }
    3002 NODES_FAILED {
        "some nodes failed"
        "At least one selected node did not converge; the others are done."
        "Failed nodes were returned to their old state by their own installer."
        "`husk status` shows each node's error; run the command again when the cause is gone."
    }
    3003 JOB_NAME_TAKEN {
        "per-node Job belongs to somebody else"
        "A Job of the name that a node's Job would get exists and is labelled as another owner's."
        "That Job was left alone; nothing was done on the node."
        "Find its owner by the label that the message shows; delete it or install with another `multiInstallSuffix`."
    }
    3004 CONTAINER_CANNOT_START {
        "container cannot start"
        "A container of the per-node pod waits for something that does not heal by itself, most often its image."
        "The node was left as it was."
        "Read the kubelet's words in the message; check `image`, `node.image`, `imagePullSecrets` and the registry."
    }
    3005 NODE_JOB_FAILED {
        "per-node Job failed"
        "The Job of a node ended without a report of our own: it was evicted, killed or ran out of time."
        "What the installer had begun is finished or undone by its next run."
        "Run the command again; `husk status` shows the last lines of the pod."
    }
    3006 NODE_JOB_LOST {
        "node or its Job went away"
        "While a node's Job was at work the Job was deleted, or the node was removed or replaced."
        "The other nodes were carried on."
        "Run the command again when the node is back."
    }
    3007 NODE_NOT_READY {
        "node not Ready"
        "The node did not become Ready in time after its container runtime was restarted."
        "The installation stays on the node; its runtime had proven that it serves the handlers."
        "Look at the kubelet (`journalctl -u kubelet` on the node), then run the command again."
    }
    3008 HANDLERS_NOT_SEEN {
        "kubelet does not report the handlers"
        "The runtime serves the new handlers but the kubelet did not report them in the Node's status in time."
        "The installation stays on the node."
        "Restart the kubelet, then run the command again."
    }
    3009 DISPATCHER_FAILED {
        "dispatcher failed"
        "The dispatcher could not read its template, or the API server refused what it needs."
        "Nodes that were through stay as they are; no further node was begun."
        "Read the cause in the message; run the command again to go on where it ended."
    }
    3010 VERIFICATION_FAILED {
        "verification did not succeed"
        "A pod of `husk verify`, or that of `verification.pod`, did not prove what it was to prove; or the rollout did not finish in time."
        "The pods were deleted; the installation stays."
        "The table of `husk verify` says what each pair of node and class lacks; of `verification.pod` the log of its Job has the Events and last lines."
    }
    3011 SANDBOXES_IN_USE {
        "Kata sandboxes run on the node"
        "`job.rollout.sandboxes` says that a node is not touched while Kata sandboxes run on it, and they did not end in time."
        "Nothing was begun on the node; if it was cordoned for this, it was uncordoned."
        "Move or end the pods, or raise `job.rollout.sandboxTimeoutSeconds`; then run the command again."
    }
    3012 ROLLOUT_ABORTED {
        "rollout aborted"
        "The rollout was aborted (`husk rollout abort`) before this node had its turn."
        "Nodes in flight were finished; nothing was begun on this one."
        "Run the command again to go on."
    }
    3013 NODE_UNREACHABLE {
        "node unreachable"
        "The kubelet of the node has been silent for so long that the API server says `Unknown`."
        "The other nodes were carried on. A Job that had been made for the node goes on when it comes back."
        "Bring the node back, then run the command again; with `job.watch.enabled` that is not needed."
    }
    3014 NO_SUCH_NODE {
        "node not known"
        "No node of the cluster has this name, or nothing of the installation was ever on it."
        "Nothing was changed."
        "`kubectl get nodes` lists the names; `husk status` shows which of them the installation selects."
    }
    4001 CLUSTER_UNREACHABLE {
        "cluster cannot be reached"
        "The API server does not answer, or stopped answering and did not come back in time."
        "Nothing was changed if this came first; otherwise the work stands where it was interrupted."
        "Check the kubeconfig and its context; when the API server is back, run the same command again: it continues."
    }
    4002 NOT_ALLOWED {
        "not allowed on the cluster"
        "The user or ServiceAccount lacks a permission that the step needs."
        "The work stands where it was interrupted."
        "Have the permission that the message names granted, then run the same command again."
    }
    4003 API_REFUSED {
        "request refused by the API server"
        "The API server answered a request with an error."
        "The work stands where it was interrupted."
        "Read the server's words in the message, then run the same command again."
    }
    4004 RELEASE_BUSY {
        "release is being worked on"
        "Another process installs, upgrades or rolls back this release, or was cut off while it did."
        "Nothing was changed."
        "Wait for the holder that the message names. One that is gone is taken over by `husk up`."
    }
    4005 RELEASE_NOT_FOUND {
        "release or revision not found"
        "There is no record of this release, or not of this revision, in this namespace."
        "Nothing was changed."
        "`husk helm list -A` shows every release with its namespace."
    }
    4006 RELEASE_NAME {
        "release name not usable"
        "The name breaks the rules for names, or a release of that name lives already."
        "Nothing was changed."
        "Choose another name, or upgrade the release that there is."
    }
    4007 RELEASE_RECORD {
        "release record not usable"
        "The record of the release is damaged, carries reserved labels, or would be larger than one object may be."
        "Nothing was changed."
        "The message names the record and, when it is too large, the files that take most room."
    }
    4008 BAD_MANIFEST {
        "rendered objects not usable"
        "The chart rendered something that is no Kubernetes object, or a kind that the cluster does not serve."
        "Nothing was applied."
        "Install the CustomResourceDefinitions that are missing, or correct the template."
    }
    4009 NOT_OURS {
        "object belongs to something else"
        "An object that the release wants to create exists and carries no marks of this release."
        "Nothing was applied."
        "Remove the object or give the release another name; `--take-ownership` adopts it."
    }
    4010 FIELD_CONFLICT {
        "field is managed by someone else"
        "Server-side apply found a field whose value another field manager set."
        "The object was not changed; those before it were."
        "Take the field out of the values, or use `--force-conflicts` to take it from the manager that the message names."
    }
    4011 OBJECT_REFUSED {
        "object refused by the API server"
        "Validation or an admission policy refused an object, or a field of it cannot be changed after creation."
        "The object was not changed; those before it were."
        "Read the server's words in the message. Immutable fields need the object to be created anew."
    }
    4012 NOT_READY {
        "objects did not become ready"
        "Time ran out, or an object reported that it failed."
        "The objects are left as they are; the release is marked as failed."
        "The message names each object and the first cause found in its pods; run the same command again to continue."
    }
    4013 HOOK_FAILED {
        "hook failed"
        "A Job or Pod that the chart runs at this point failed or did not finish in time."
        "The release is marked as failed; the hook's last lines of output are in the report."
        "Read the output, remove the cause, then run the same command again."
    }
    4014 REMOVE_INCOMPLETE {
        "some objects could not be removed"
        "The API server refused to delete objects of the release."
        "The record of the release was kept."
        "Remove the cause that the message names, then run the same command again."
    }
    4015 UNSUPPORTED_BY_ENGINE {
        "not supported by this engine"
        "The option exists in Helm and this engine does not have it."
        "Nothing was changed."
        "The message says what to use instead."
    }
    4016 PHASE_TIMED_OUT {
        "a phase ran out of time"
        "A part of the work (preflight, apply, remove, nodes, ready) took longer than its bound: something is slow, or waits for something."
        "Nothing was stopped or taken back; the message says what goes on on the cluster."
        "`husk status` shows what is waited for and why; the command that the message names goes on from there and waits longer."
    }
    5001 NO_SANDBOX {
        "no sandbox"
        "The verb needs a sandbox and there is none in the directory, or it does not run."
        "Nothing was changed."
        "Start one with `husk up --sandbox` or `husk sandbox up`."
    }
    5002 SANDBOX_HOSTS {
        "sandbox hosts not as asked"
        "The list of hosts cannot be read, or the sandbox that exists has other hosts."
        "Nothing was changed."
        "Correct `--hosts`, or remove the sandbox first with `husk sandbox down`."
    }
    5003 SANDBOX_UNUSABLE {
        "sandbox cannot be used"
        "A file of the sandbox cannot be read or written, or its process does not start."
        "Nothing outside the sandbox's directory was touched."
        "Read the cause in the message and `daemon.log` in the directory; `husk sandbox down` begins anew."
    }
    5004 HOST_NOT_CLEAN {
        "host differs from what it was"
        "After the removal a simulated host is not what it was before the installation."
        "The release is removed; the sandbox and its hosts were left for inspection."
        "If nobody changed the files that the message names, this is a bug worth reporting."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted_and_complete() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].code < pair[1].code));
        for entry in CATALOGUE {
            assert!((1000..6000).contains(&entry.code.0));
            for text in [entry.title, entry.meaning, entry.done, entry.next] {
                assert!(!text.trim().is_empty(), "{} has an empty text", entry.code);
            }
            assert_eq!(super::entry(entry.code), Some(entry));
        }
    }

    #[test]
    fn codes_are_read_as_they_are_printed() {
        assert_eq!("HUSK-2102".parse(), Ok(Code::PAYLOAD_CORRUPT));
        assert_eq!(Code::PAYLOAD_CORRUPT.to_string(), "HUSK-2102");
        assert!("HUSK-21".parse::<Code>().is_err());
    }
}
