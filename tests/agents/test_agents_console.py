import pytest
from django.urls import reverse

from agents import services
from tests.factories import make_person


@pytest.fixture
def operator(client, db):
    person = make_person(is_staff=True, is_superuser=True)
    client.force_login(person.user)
    return client


def test_the_console_shows_agents_and_what_they_answered(operator, alice, agent):
    execution = services.execute_agent(
        agent=agent,
        company=alice.company,
        user=alice.user,
        input="how many orders are pending",
    )
    pages = [
        reverse("admin:agents_agent_changelist"),
        reverse("admin:agents_agent_change", args=[agent.pk]),
        reverse("admin:agents_agentexecution_changelist"),
        reverse("admin:agents_agentexecution_change", args=[execution.pk]),
    ]
    texts = [operator.get(page) for page in pages]
    assert [answer.status_code for answer in texts] == [200] * 4
    assert "Helper" in texts[0].content.decode()
    assert "craftai-1" in texts[1].content.decode()
    assert "how many orders are pending" in texts[2].content.decode()
    assert "SELECT count(*)" in texts[3].content.decode()


def test_the_console_only_looks(operator, agent):
    assert (
        operator.post(
            reverse("admin:agents_agent_change", args=[agent.pk]), {"name": "X"}
        ).status_code
        == 403
    )
    assert (
        operator.post(reverse("admin:agents_agent_delete", args=[agent.pk])).status_code
        == 403
    )
