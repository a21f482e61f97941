"""The name under which earlier versions registered their models; MLflow imports it to load one."""

from analysis.serving.served import _load_pyfunc as _load_pyfunc
