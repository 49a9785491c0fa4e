//! The script: what happens to the releases, step by step.

/// One step of the script.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) does: Does,
}

/// What a step does.
pub(super) enum Does {
    /// A call of Helm's command line; `V1` and `V2` stand for the charts' directories.
    Helm(&'static str),
    /// Somebody else applies this ConfigMap field: name, key, value.
    Edit(&'static str, &'static str, &'static str),
    /// Somebody deletes an object: its path below the namespace.
    Delete(&'static str),
}

const fn helm(name: &'static str, arguments: &'static str) -> Step {
    Step { name, does: Does::Helm(arguments) }
}

pub(super) const STEPS: &[Step] = &[
    helm("dry run of the client", "install a V1 --dry-run=client"),
    helm("dry run of the server", "install a V1 --dry-run=server --hide-secret"),
    helm("install", "install a V1 --wait --timeout 60s --description first"),
    helm("a name in use", "install a V1"),
    helm("list", "list"),
    helm("status", "status a"),
    helm("get values", "get values a"),
    helm("values of this call", "upgrade a V1 --set replicas=2,color=red --wait --timeout 60s"),
    helm("reuse values", "upgrade a V1 --reuse-values --set extra.one=1 --labels team=blue"),
    helm("get all values", "get values a --all -o json"),
    helm("reset values", "upgrade a V1 --reset-values"),
    helm("reset, then reuse", "upgrade a V1 --reset-then-reuse-values --set color=blue"),
    helm("history", "history a"),
    helm("get manifest", "get manifest a"),
    helm("get hooks", "get hooks a"),
    helm("get notes", "get notes a"),
    helm("get metadata", "get metadata a"),
    helm("get one revision", "get values a --revision 2 -o yaml"),
    helm("the next chart", "upgrade a V2 --wait --timeout 60s"),
    helm("a test", "test a"),
    helm("a test that will fail", "upgrade a V2 --set test.image=broken"),
    helm("a test that fails", "test a --timeout 20s"),
    helm("a hook that fails", "upgrade a V2 --set hook.image=broken,color=never --timeout 20s"),
    helm("status of a failure", "status a"),
    helm("list failures", "list --failed"),
    helm("roll back", "rollback a"),
    helm("roll back to the first chart", "rollback a 1 --wait --timeout 60s"),
    helm("roll back to nothing", "rollback a 99"),
    helm("what cannot be changed", "upgrade a V1 --set selector=second"),
    helm("an image that is missing", "upgrade a V1 --set image=missing --wait --timeout 3s"),
    helm("an object that cannot be created", "upgrade a V2 --set suffix=_"),
    helm("its history", "history a --max 2 -o yaml"),
    helm("back by itself", "upgrade a V1 --set image=missing --rollback-on-failure --timeout 3s"),
    helm("history of failures", "history a --max 4 -o yaml"),
    helm("a rollback that waits in vain", "rollback a 12 --wait --timeout 3s"),
    helm("its state", "list"),
    helm("a rollback that cannot be applied", "rollback a 11"),
    helm("what it left", "history a --max 4 -o yaml"),
    helm("back again", "rollback a 10"),
    helm("a limit of the history", "upgrade a V1 --history-max 3"),
    helm("limited history", "history a"),
    Step { name: "somebody changes a field", does: Does::Edit("a-config", "color", "somebody's") },
    helm("a conflict", "upgrade a V1 --set color=ours"),
    helm("a conflict forced", "upgrade a V1 --set color=ours --force-conflicts"),
    Step { name: "somebody deletes an object", does: Does::Delete("configmaps/a-config") },
    helm("what is missing comes back", "upgrade a V1 --set color=ours"),
    helm("install by upgrade", "upgrade --install b V2 --set color=black --create-namespace"),
    helm("two releases", "list -o json"),
    helm("two releases by label", "list -q -l owner=helm --filter ^b$"),
    helm("nothing to upgrade", "upgrade c V1"),
    helm("what is another's", "install a-config V1 --name-template a"),
    helm("uninstall and keep", "uninstall b --keep-history --wait"),
    helm("list the uninstalled", "list --uninstalled"),
    helm("uninstalled again", "uninstall b --keep-history"),
    helm("status of the uninstalled", "status b"),
    helm("the uninstalled comes back", "rollback b 1"),
    helm("gone for good", "uninstall b"),
    helm("a dry removal", "uninstall a --dry-run"),
    helm("a removal that fails", "upgrade a V1 --set hook.image=broken --no-hooks"),
    helm("its hook says no", "uninstall a --timeout 20s"),
    helm("its state", "list --all"),
    helm("removal without hooks", "uninstall a --no-hooks --wait"),
    helm("removed twice", "uninstall a"),
    helm("removed twice in silence", "uninstall a --ignore-not-found"),
    helm("what was kept is not ours", "install d V1 --set color=late"),
    helm("taken over", "upgrade --install a V1 --take-ownership --wait --timeout 60s"),
    helm("all gone", "uninstall a d"),
];
