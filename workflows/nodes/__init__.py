"""The node types. A new one is a file in this folder and a line here."""

from workflows.nodes.aggregate import Aggregate
from workflows.nodes.approval import Approval
from workflows.nodes.base import Node
from workflows.nodes.code import Code
from workflows.nodes.condition import Condition
from workflows.nodes.crypto import Crypto
from workflows.nodes.datetime import Datetime
from workflows.nodes.dedupe import Dedupe
from workflows.nodes.delay import Delay
from workflows.nodes.email import Email
from workflows.nodes.filter import Filter
from workflows.nodes.http import Http
from workflows.nodes.input import Input
from workflows.nodes.limit import Limit
from workflows.nodes.loop import Loop
from workflows.nodes.map import Map
from workflows.nodes.merge import Merge
from workflows.nodes.notify import Notify
from workflows.nodes.output import Output
from workflows.nodes.parse import Parse
from workflows.nodes.respond import Respond
from workflows.nodes.route import Route
from workflows.nodes.sort import Sort
from workflows.nodes.split import Split
from workflows.nodes.stop import Stop
from workflows.nodes.store import Store
from workflows.nodes.subworkflow import Subworkflow
from workflows.nodes.switch import Switch
from workflows.nodes.template import Template
from workflows.nodes.transform import Transform
from workflows.nodes.validate import Validate
from workflows.nodes.wait import Wait

NODES: dict[str, type[Node]] = {
    "input": Input,
    "transform": Transform,
    "condition": Condition,
    "route": Route,
    "switch": Switch,
    "template": Template,
    "filter": Filter,
    "sort": Sort,
    "limit": Limit,
    "dedupe": Dedupe,
    "split": Split,
    "aggregate": Aggregate,
    "merge": Merge,
    "parse": Parse,
    "validate": Validate,
    "datetime": Datetime,
    "crypto": Crypto,
    "code": Code,
    "map": Map,
    "loop": Loop,
    "delay": Delay,
    "wait": Wait,
    "approval": Approval,
    "subworkflow": Subworkflow,
    "http": Http,
    "email": Email,
    "notify": Notify,
    "store": Store,
    "output": Output,
    "respond": Respond,
    "stop": Stop,
}
