//! Which APIs that Kubernetes removes are in use, as far as the cluster shows.

use kbundle_format::KubeVersion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deprecated::{self, DeprecatedApi};
use super::stored::StoredObjects;
use crate::kubectl::Kubectl;

/// The number of objects that people are shown. Programs get all of them.
const TOLD: usize = 20;

/// APIs that Kubernetes removes, and what uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiUse {
    /// Deprecated APIs that somebody asked for since the API server started.
    pub deprecated_apis: Vec<DeprecatedApi>,
    /// Stored objects last written through an API version that Kubernetes removes.
    pub stored_objects: StoredObjects,
}

impl ApiUse {
    /// Asks the API server which APIs an upgrade to Kubernetes `to` would break.
    pub fn read(api: &Kubectl<'_>, to: KubeVersion) -> anyhow::Result<Self> {
        Ok(Self {
            deprecated_apis: deprecated::read(&api.raw("/metrics")?, to),
            stored_objects: StoredObjects::scan(api, to),
        })
    }

    /// For people: headings, each with its lines.
    pub(super) fn parts(&self) -> [(&'static str, Vec<String>); 3] {
        [
            (
                "deprecated APIs that were asked for since the API server started",
                self.deprecated_apis.iter().map(ToString::to_string).collect(),
            ),
            ("stored objects last written through an API version that Kubernetes removes", self.told_objects()),
            ("kinds that could not be searched for such objects", self.stored_objects.unknown.clone()),
        ]
    }

    fn told_objects(&self) -> Vec<String> {
        let StoredObjects { objects, count, .. } = &self.stored_objects;
        let mut lines: Vec<_> = objects.iter().take(TOLD).map(ToString::to_string).collect();
        if *count > lines.len() {
            lines.push(format!("and {} more; `--output json` names {} in all", count - lines.len(), objects.len()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::stored::StoredObject;

    #[test]
    fn people_are_told_a_few_objects_and_how_many_there_are() {
        let object = StoredObject {
            removed_in: "1.26".into(),
            goes_now: true,
            api: "autoscaling/v2beta2".into(),
            kind: "HorizontalPodAutoscaler".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
            managers: vec!["helm".into()],
            in_last_applied: false,
        };
        let with = |objects: usize, count: usize| ApiUse {
            stored_objects: StoredObjects { objects: vec![object.clone(); objects], count, unknown: vec![] },
            ..ApiUse::default()
        };
        let [asked, (_, stored), unknown] = with(1, 1).parts();
        assert_eq!((asked.1.len(), unknown.1.len()), (0, 0));
        assert_eq!(
            stored,
            [
                "HorizontalPodAutoscaler shop/web in autoscaling/v2beta2, written by helm: Kubernetes 1.26 does not have it; change what writes it"
            ]
        );
        let [_, (_, stored), _] = with(500, 700).parts();
        assert_eq!(stored.len(), TOLD + 1);
        assert_eq!(stored[TOLD], "and 680 more; `--output json` names 500 in all");
    }
}
