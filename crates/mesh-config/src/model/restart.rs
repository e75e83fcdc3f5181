use super::Mesh;

impl Mesh {
    /// Where `next` differs from this in a way that a running mesh does not take over: everything but `tools` and `toolsets`.
    #[must_use]
    pub fn needs_restart(&self, next: &Self) -> Vec<String> {
        let mut sections = Vec::new();
        let gateway = |mesh: &Self| {
            let mut gateway = mesh.gateway.clone();
            gateway.watch = None;
            gateway.reload = super::Reload::Auto;
            gateway
        };
        let differs = [
            ("mesh", self.mesh != next.mesh),
            ("storage", self.storage != next.storage),
            ("gateway", gateway(self) != gateway(next)),
            ("gateway.watch", self.gateway.watch != next.gateway.watch),
            ("gateway.reload", self.gateway.reload != next.gateway.reload),
            ("admin", self.admin != next.admin),
            ("model", self.model != next.model),
            ("access", self.access != next.access),
            ("push", self.push != next.push),
            ("limits", self.limits != next.limits),
            ("telemetry", self.telemetry != next.telemetry),
        ];
        sections.extend(differs.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()));
        let names =
            self.agents.keys().chain(next.agents.keys().filter(|name| !self.agents.contains_key(*name)));
        let changed = names.filter(|name| self.agents.get(*name) != next.agents.get(*name));
        sections.extend(changed.map(|name| format!("agents.{name}")));
        sections
    }
}
