//! The engine over a Kubernetes API server in the same process, with controllers just large enough for the tests.

mod chart;
mod cluster;
mod controllers;
mod converge;
mod faulty;
mod helm;
mod hooks;
mod install;
mod outage;
mod plan;
mod recover;
mod rollback;
mod storage;
mod survey;
mod uninstall;
mod upgrade;
mod wait;
