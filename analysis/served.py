"""Import path of models that earlier versions registered in MLflow."""

from analysis.serving.served import _load_pyfunc as _load_pyfunc
