"""A worker that was started to make clips smoother on the GPU: a meter, and a look at the file."""

from engine.pipelines.cuda import CudaMeter
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.pipelines.rife.between import Rife
from engine.pipelines.smooth.pipeline import Smooth
from engine.plan.choice import Plan


class RifeWorker(Smooth):
    """See the module's docstring. Each clip reads the weights for itself (between.py), because most
    are made beside another model."""

    def load(self, plan: Plan) -> Plan:
        if import_lightx2v() == "cuda":
            self.meter = CudaMeter()
        Rife(self.preset)
        return plan
