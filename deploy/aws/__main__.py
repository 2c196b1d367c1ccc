"""What `pulumi up` declares. The parts are in `infrastructure`; this says which there are."""

import pulumi
from infrastructure.choices import Choices
from infrastructure.stack import declare

declared = declare(Choices.read(pulumi.Config()))
# Names and addresses. Secrets are in Secrets Manager and in no output.
for name, value in declared.outputs().items():
    pulumi.export(name, value)
