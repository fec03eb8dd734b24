"""Reads a synthesised cloud assembly: resources by type, and what each function may do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.app import synth
from infra.config import PRODUCT, STACK_PARTS, Config

Resource = dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    """The templates of one synthesis, by part (``data``, ``engine``, …)."""

    folder: Path
    config: Config
    templates: dict[str, dict[str, Any]]

    @classmethod
    def make(cls, config: Config, folder: Path) -> "Assembly":
        synth(config, folder)
        paths = {part: folder / f"{config.stack_name(part)}.template.json" for part in STACK_PARTS}
        return cls(folder, config, {part: json.loads(path.read_text()) for part, path in paths.items()})

    def paths(self) -> list[Path]:
        return [self.folder / f"{self.config.stack_name(part)}.template.json" for part in STACK_PARTS]

    def text(self) -> str:
        return "".join(path.read_text() for path in self.paths())

    def all(self) -> dict[str, Resource]:
        return {
            f"{part}/{name}": resource
            for part, template in self.templates.items()
            for name, resource in template["Resources"].items()
        }

    def of_type(self, kind: str) -> dict[str, Resource]:
        return {name: resource for name, resource in self.all().items() if resource["Type"] == kind}

    def one(self, kind: str, containing: str = "") -> Resource:
        (found,) = (resource for name, resource in self.of_type(kind).items() if containing in name)
        return found["Properties"]  # type: ignore[no-any-return]

    def functions(self) -> dict[str, Resource]:
        """Return the service's functions' properties by their logical name: the last word of their description."""
        found = (resource["Properties"] for resource in self.of_type("AWS::Lambda::Function").values())
        ours = f"{PRODUCT} {self.config.stage}: "
        return {
            properties["Description"].removeprefix(ours): properties
            for properties in found
            if properties["Description"].startswith(ours)
        }

    def machines(self) -> list[Resource]:
        """Return the service's state machines' properties; the CDK's own one waits for image builds."""
        found = self.of_type("AWS::StepFunctions::StateMachine").items()
        return [resource["Properties"] for name, resource in found if "ImageBuilds" not in name]

    def role_of(self, properties: Resource) -> str:
        return str(properties["Role"]["Fn::GetAtt"][0])

    def statements(self, role: str) -> Iterator[dict[str, Any]]:
        """Yield what the role with this logical id may do."""
        for resource in self.of_type("AWS::IAM::Policy").values():
            if {"Ref": role} in resource["Properties"]["Roles"]:
                yield from resource["Properties"]["PolicyDocument"]["Statement"]

    def actions(self, role: str) -> set[str]:
        return {action for statement in self.statements(role) for action in listed(statement["Action"])}

    def outputs(self) -> set[str]:
        return {
            key
            for template in self.templates.values()
            for key in template.get("Outputs", {})
            if not key.startswith("Exports")
        }


def listed(value: Any) -> list[Any]:
    """IAM writes a single element without its list."""
    return value if isinstance(value, list) else [value]
