"""A small byte-level tokenizer, made here, with the face of one of transformers."""

import functools

CORPUS = [
    "a question\n\nand an answer\n",
    "the light of the river",
    "<|user|>\n<|assistant|>\n",
] * 8
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@functools.cache
def made():
    """The tokenizer of the tokenizers library; it merges two line ends into one token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r"\s+|\w+|[^\s\w]+"), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


class Made:
    """What is used of a tokenizer of transformers."""

    def __init__(self, chat_template=None, *, eos="<|endoftext|>", bos=None, pad=None):
        self.chat_template = chat_template
        self.eos_token, self.bos_token, self.pad_token, self.unk_token = eos, bos, pad, None
        self.pad_token_id = None if pad is None else made().token_to_id(pad)
        self.added_tokens_decoder = made().get_added_tokens_decoder()

    def __call__(self, text, *, add_special_tokens):
        ids = made().encode(text).ids
        if add_special_tokens and self.bos_token:
            ids = [made().token_to_id(self.bos_token), *ids]
        return {"input_ids": ids}

    def decode(self, ids):
        return made().decode(list(ids), skip_special_tokens=False)
