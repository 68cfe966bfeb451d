"""Which data classes a deployment may process."""

from greffier.config.settings import WorkspaceSettings
from greffier.llm.settings import DeploymentSettings


def permitted_data_classes(deployment: DeploymentSettings, workspace: WorkspaceSettings) -> tuple[str, ...]:
    """Return what the deployment says, or else all on our own machines and those allowed outside by default."""
    if deployment.data_classes is not None:
        return deployment.data_classes
    on_premises = deployment.location == "on_premises"
    return tuple(sorted(name for name, c in workspace.data_classes.items() if on_premises or c.external_by_default))
