"""A notebook as a script: from frames to values, in cells that editors run one by one."""

# %% [markdown]
# # Who taught the model?
#
# Five hospitals gave rows to one model. One of them (`east`) wrote down labels at random. The rows
# that judge come from a source that we trust, and that is not valued.

# %%
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

import unshapley as us

table = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0, ignore_index=True)
table["benign"] = np.where(table.pop("target") == 1, "yes", "no")
trusted, reference, given = table[:150], table[150:210], table[210:]
NAMES = ("north", "south", "east", "west", "island")
hospitals = {name: given[i :: len(NAMES)] for i, name in enumerate(NAMES)}
rng = np.random.default_rng(0)
hospitals["east"] = hospitals["east"].assign(
    benign=rng.choice(["yes", "no"], len(hospitals["east"]))
)

# %% [markdown]
# One call trains the default network and values every hospital. With so few hospitals every
# coalition is really retrained; with more, most are unlearned, and the check says how far that can
# be believed.

# %%
result = us.value(
    None,
    hospitals,
    test=trusted,
    reference=reference,
    label="benign",
    utility=["neg_log_loss", "accuracy"],
)
print(result)

# %% [markdown]
# The last place is what we expect. Who is worth more than whom, by more than noise?

# %%
differences = result.differences()
certain = differences[(differences["probability"] - 0.5).abs() > 0.475]
print(certain[["provider", "other", "difference", "ci_low", "ci_high"]].to_string(index=False))
print(result.interactions().head(3).to_string(index=False))  # the most redundant pairs
picture = result.plot_values()  # a notebook shows it

# %% [markdown]
# ## A model that is trained already
#
# Its labels are the numbers of its outputs. Its recipe is not stated here, so nothing can be
# retrained to check the values: they are marked `unchecked`, and the call warns.


# %%
def rows_of(frame: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and class numbers of a table."""
    numbers = frame.drop(columns="benign").to_numpy(np.float32)
    scaled = (numbers - MEAN) / SCALE
    return torch.from_numpy(scaled), torch.tensor((frame["benign"] == "yes").to_numpy(dtype=int))


MEAN, SCALE = (
    getattr(reference.drop(columns="benign"), name)().to_numpy(np.float32)
    for name in ("mean", "std")
)
tensors = {name: rows_of(frame) for name, frame in hospitals.items()}
x, y = (torch.cat(parts) for parts in zip(*tensors.values(), strict=True))
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(x.shape[1], 16), nn.Tanh(), nn.Linear(16, 2))
first = {name: tensor.clone() for name, tensor in network.state_dict().items()}
optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=0.01)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    optimizer.step()
sets = {"test": rows_of(trusted), "reference": rows_of(reference)}
unchecked = us.value(network, tensors, **sets, initial=first)
print(unchecked)

# %% [markdown]
# Stated, the recipe lets coalitions be retrained: for five hospitals all of them.

# %%
recipe = {"optimizer": "adam", "steps": 200, "learning_rate": 0.01, "weight_decay": 0.01}
checked = us.value(network, tensors, **sets, initial=first, params={"pretrain": recipe})
print(checked)

# %% [markdown]
# Tables, report and manifest, as `unshapley run` writes them:

# %%
folder = checked.save("valuation")
print(f"open {folder / 'report.html'}")
