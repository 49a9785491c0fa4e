//! What can be known before anything is touched.

use crate::cluster::api_failure;
use crate::error::{Failure, Result, exit};
use crate::rollout::Rollout;
use contract::Code;
use fleet::node::Node;
use futures::TryStreamExt;
use kube::Client;

/// Lists every Node.
pub(crate) async fn nodes(client: &Client) -> Result<Vec<Node>> {
    fleet::node::list(client, "").try_collect().await.map_err(api_failure)
}

/// Refuses rollouts that select no node.
pub(crate) fn check(rollouts: &[Rollout], nodes: &[Node]) -> Result<()> {
    for rollout in rollouts {
        if nodes.iter().all(|node| rollout.rules.left_out(node).is_some()) {
            let message = fleet::selection::explain_nothing(&rollout.rules, nodes.iter());
            return Err(Failure::new(Code::NO_NODE_SELECTED, message).exiting(exit::BLOCKED));
        }
    }
    Ok(())
}
