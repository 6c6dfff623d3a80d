"""The effect in its smallest form: an MLP that learns digits from logits that say nothing about digits.

    from subliminal_mlx.demos.digits.data import load_images
    from subliminal_mlx.demos.digits.experiment import run_digits
    from subliminal_mlx.demos.digits.spec import make

    result = run_digits(make("digits"), load_images())    # teacher, student and every control
    result["arms"]["student"]["accuracy"][-1]             # one share of right answers a replica

spec      what may be asked, with its limits                       (no MLX)
data      the shipped digits, and IDX files such as MNIST's         (no MLX)
mlp       the stack of networks and its training
experiment  teacher, student, controls, epoch by epoch
parallel  the same on all cores, some replicas a process
theorem   one small step: where the guarantee holds and where it ends
summary   intervals over replicas, as rows for tables and charts    (no MLX)
grid      the sweeps that are stored with the project
live      the answer to an app's sliders: stored or computed now
store     results in a lab, as rows and back                         (no MLX)
"""
