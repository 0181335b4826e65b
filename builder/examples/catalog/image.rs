//! Images from the facts in the catalog's form.

use kbundle::catalog::CatalogImage;
use kbundle_format::Role;

use crate::facts::ImageFact;

/// Hosts that run pods.
pub const POD_HOSTS: &[Role] = &[Role::ControlPlane, Role::Worker];

/// An image in the catalog's form; without a digest if the facts have none.
pub fn image(fact: &ImageFact, roles: &[Role], licence: Option<String>) -> anyhow::Result<CatalogImage> {
    let digest = fact.digest.as_deref().map(str::parse).transpose()?;
    Ok(CatalogImage { reference: fact.reference().parse()?, digest, licence, roles: roles.iter().copied().collect() })
}
