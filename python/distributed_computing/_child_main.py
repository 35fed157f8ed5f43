"""What a process that a job has started through ``multiprocessing`` loads as its main module: the script's definitions."""

from distributed_computing._main_module import load_in_child

load_in_child(globals())
