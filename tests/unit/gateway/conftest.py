import pytest

from greffier.gateway.app import GatewayApp
from greffier.testing.pipelines import ScriptedChat, ScriptedHealth, scripted_pipelines


@pytest.fixture
def chat() -> ScriptedChat:
    return ScriptedChat()


@pytest.fixture
def app(chat: ScriptedChat) -> GatewayApp:
    return GatewayApp(scripted_pipelines(chat), ScriptedHealth())
