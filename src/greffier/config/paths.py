"""Where things are kept: the one place that knows the names of files in a workspace's state folder."""

from pathlib import Path


class WorkspacePaths:
    """Paths of a workspace. The state folder ``.greffier/`` is never part of the bundle and never in Git."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".greffier"

    @property
    def settings(self) -> Path:
        """``greffier.yaml``."""
        return self.root / "greffier.yaml"

    @property
    def state_db(self) -> Path:
        """API keys and other small mutable state (SQLite)."""
        return self.state / "state.db"

    @property
    def journal_db(self) -> Path:
        """The journal (SQLite)."""
        return self.state / "journal.db"

    @property
    def replaced(self) -> Path:
        """What restores set aside, a folder each; their logs say what the restored stores lack."""
        return self.state / "replaced"

    @property
    def spend_db(self) -> Path:
        """What was spent per day (SQLite); apart from the API keys because it is written every second."""
        return self.state / "spend.db"

    @property
    def content_db(self) -> Path:
        """Encrypted content parts (SQLite), apart from the journal so that they can be deleted."""
        return self.state / "content.db"

    @property
    def content_keys_db(self) -> Path:
        """Wrapped keys of the content (SQLite), apart from it so that a key's destruction reaches old backups too."""
        return self.state / "content-keys.db"

    @property
    def privacy_db(self) -> Path:
        """Consents and objections, requests of data subjects, legal holds, requests to reveal content (SQLite)."""
        return self.state / "privacy.db"

    @property
    def erasures_db(self) -> Path:
        """The ledger of erasures (SQLite): apart, because restoring a backup must never take it back in time."""
        return self.state / "erasures.db"

    @property
    def spool(self) -> Path:
        """Evidence that waits while the journal cannot be written, a file per worker."""
        return self.state / "spool"

    @property
    def incidents_db(self) -> Path:
        """The register of incidents and breaches (SQLite); versions are only added."""
        return self.state / "incidents.db"

    @property
    def log(self) -> Path:
        """Merkle tiles and checkpoints, servable as static files (C2SP tlog-tiles)."""
        return self.state / "log"

    @property
    def secrets(self) -> Path:
        """Key files, mode 0700: log signing key, bundle signing key, content root key, pseudonym key."""
        return self.state / "keys"

    @property
    def operators(self) -> Path:
        """Public keys of the people that the command line knows by their keys, ``NAME.pem``."""
        return self.secrets / "operators"

    @property
    def releases(self) -> Path:
        """Signed bundles; ``releases/current`` names the one in force."""
        return self.state / "releases"

    @property
    def schemas(self) -> Path:
        """JSON Schemas for editors; written by ``greffier init`` and ``greffier config schema``."""
        return self.state / "schemas"

    @property
    def sinks(self) -> Path:
        """How far each sink is, and what it refused."""
        return self.state / "sinks"

    @property
    def configurations(self) -> Path:
        """Configurations that were in force, for as long as records cite them."""
        return self.state / "configurations"

    @property
    def copies(self) -> Path:
        """How far the locked copies of the log are."""
        return self.state / "copies"

    @property
    def taken_over(self) -> Path:
        """Files of earlier versions whose content has moved into the database."""
        return self.state / "taken-over"

    @property
    def run(self) -> Path:
        """Sockets, pids and addresses of running processes, mode 0700."""
        return self.state / "run"

    def ensure(self) -> None:
        """Create the state folder, readable by its owner only."""
        for folder in (self.state, self.log, self.secrets, self.releases, self.run):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
