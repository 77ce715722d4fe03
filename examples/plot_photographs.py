"""
A folder of photographs, a backbone, and three labels a class
=============================================================

Photographs of 128 pixels in a folder, few of them labelled: a frozen, pre-trained network turns
each into features, and ``VAEClassifier`` learns from the labelled and the unlabelled ones.
``BackboneTransformer`` is that network as a step of the pipeline.
"""

# %%
# A folder for this page: pieces of scikit-learn's two photographs, a temple and a flower, at other
# places and brightness each, and stripes as a third class.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from torchvision.models import MobileNet_V3_Small_Weights

from sklearn_vae import BackboneTransformer, VAEClassifier
from sklearn_vae.datasets import ImageReader, load_image_folder

rng = np.random.default_rng(0)
temple, flower = load_sample_images().images
stripes = np.sin(np.add.outer(np.arange(427), 2 * np.arange(640)) / 7)[..., None]
stripes = (128 + 100 * stripes * [1.0, 0.8, 0.4]).astype(np.uint8)
folder = tempfile.TemporaryDirectory()
for name, photograph in {"temple": temple, "flower": flower, "stripes": stripes}.items():
    Path(folder.name, name).mkdir()
    for i in range(30):
        row, column = rng.integers(0, 427 - 160), rng.integers(0, 640 - 160)
        piece = photograph[row : row + 160, column : column + 160] * rng.uniform(0.6, 1)
        Image.fromarray(piece.astype(np.uint8)).save(Path(folder.name, name, f"{i:02}.jpg"))

# %%
# From here on it is as with any folder whose subfolders are the classes. Three images a class keep
# their labels; the other training images have -1, which means unlabelled.

photographs = load_image_folder(folder.name)
train, test, y_train, y_test = train_test_split(
    photographs.data, photographs.target, test_size=30, stratify=photographs.target, random_state=0
)
few = np.full(len(train), -1)
for label in np.unique(y_train):
    few[np.flatnonzero(y_train == label)[:3]] = label

# %%
# The backbone comes from torchvision by its name, with its own preprocessing, here at 96 pixels
# instead of 224. **Real use takes** ``weights="DEFAULT"``, which downloads weights that were
# trained on ImageNet. This page is built offline, so that its weights are random. They are enough
# for pieces of other colour and texture; those of one photograph also overlap. So this shows how,
# and not how well.

smaller = MobileNet_V3_Small_Weights.DEFAULT.transforms(resize_size=96, crop_size=96)
backbone = BackboneTransformer(
    "mobilenet_v3_small", weights=None, layers="features.3", preprocessing=smaller
)
model = make_pipeline(ImageReader(size=128), backbone, VAEClassifier(random_state=0))
model.fit(train, few)

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
images = model[0].transform(test[:16])
axes[0].imshow(np.vstack([np.hstack(images[i : i + 4]) for i in range(0, 16, 4)]))
axes[0].axis("off")
ConfusionMatrixDisplay.from_estimator(
    model,
    test,
    y_test,
    display_labels=photographs.target_names,
    ax=axes[1],
    colorbar=False,
    cmap="Blues",
)
plt.show()

# %%
# The backbone learns nothing, so that features may be computed once, and many heads tried on them:
# ``Z = model[:2].transform(train)``. In a search ``BackboneTransformer(memory="cache")`` does that.
# Where all images have labels, any head of scikit-learn's stands behind the backbone.

folder.cleanup()
