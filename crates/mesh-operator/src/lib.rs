//! The Kubernetes operator: custom resources, reconcilers and scaling signals. Nothing of it is built yet; the crate holds
//! its place behind the walls of `ARCHITECTURE.md`, so that what it will share with `mesh-config` cannot grow elsewhere.
