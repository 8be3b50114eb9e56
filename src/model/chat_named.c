#include "model/chat_named.h"

#include <stddef.h>

/*
 * In the language of chat templates, as short as what ste asks of them allows: no tools, and always an answer to come.
 * A newline at the very end of a template is dropped, so the last part is written as a value.
 */
/* clang-format off */
#define EACH(text) "{% for m in messages %}" text "{% endfor %}"
/* The system message as `system`, "" where there is none, and the others as `turns`. */
#define SPLIT "{% set system = messages[0].content if messages[0].role == 'system' else '' %}" \
              "{% set turns = messages[1:] if messages[0].role == 'system' else messages %}"
#define ALTERNATE "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}" \
                  "{{ raise_exception('user and assistant must take turns, the user first') }}{% endif %}"
#define TURNS(text) "{% for m in turns %}" ALTERNATE text "{% endfor %}"
#define CHATML EACH("<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n") "{{ '<|im_start|>assistant\\n' }}"
#define CHATML_SYSTEM(system) "{% if messages[0].role != 'system' %}<|im_start|>system\n" system "<|im_end|>\n{% endif %}" CHATML
#define MARKS_CHATML {"<|im_start|>", "<|im_end|>"}
#define MISTRAL(space, u) TURNS("{% if m.role == 'user' %}" u "{% else %}" space "{{ m.content }}{{ eos_token }}{% endif %}")

const struct ste_chat_named ste_chat_named[] = {
    {"chatml", CHATML, MARKS_CHATML},
    {"chatml-smollm2", CHATML_SYSTEM("You are a helpful AI assistant named SmolLM, trained by Hugging Face"), MARKS_CHATML},
    {"chatml-qwen2.5", CHATML_SYSTEM("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."), MARKS_CHATML},
    {"qwen3", EACH("<|im_start|>{{ m.role }}\n"
                   "{% if m.role == 'assistant' and '</think>' in m.content %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}"
                   "{% else %}{{ m.content }}{% endif %}<|im_end|>\n")
              "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}", MARKS_CHATML},
    {"smollm3", SPLIT "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\n"
                "Today Date: {{ strftime_now('%d %B %Y') }}\nReasoning Mode: /no_think\n\n## Custom Instructions\n\n"
                "{% set own = system.replace('/no_think', '').replace('/think', '').rstrip() %}"
                "{{ own or 'You are a helpful AI assistant named SmolLM, trained by Hugging Face.' }}\n\n<|im_end|>\n"
                "{% for m in turns %}<|im_start|>{{ m.role }}\n"
                "{% if m.role == 'assistant' %}{{ '<think>\\n\\n</think>\\n' ~ m.content.lstrip('\\n') }}{% else %}{{ m.content }}{% endif %}"
                "<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' }}", MARKS_CHATML},
    {"olmo3", CHATML_SYSTEM("You are Olmo, a helpful AI assistant built by Ai2."), MARKS_CHATML},
    {"phi4", EACH("<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>") "<|im_start|>assistant<|im_sep|>",
     {"<|im_start|>", "<|im_sep|>", "<|im_end|>"}},
    {"llama3", SPLIT "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
               "Today Date: {{ strftime_now('%d %b %Y') }}\n\n{{ system|trim }}<|eot_id|>"
               "{% for m in turns %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content|trim }}<|eot_id|>{% endfor %}"
               "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}",
     {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}},
    {"gemma", SPLIT TURNS("<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n"
                          "{% if loop.first and system %}{{ system ~ '\\n\\n' }}{% endif %}{{ m.content|trim }}<end_of_turn>\n")
              "{{ '<start_of_turn>model\\n' }}", {"<start_of_turn>", "<end_of_turn>"}},
    {"mistral-v1", SPLIT MISTRAL(" ", " [INST] {{ system ~ '\\n\\n' if loop.first and system else '' }}{{ m.content }} [/INST]"), {0}},
    {"mistral-v3", SPLIT MISTRAL(" ", "[INST] {{ system ~ '\\n\\n' if loop.last and system else '' }}{{ m.content }}[/INST]"),
     {"[INST]", "[/INST]"}},
    {"mistral-v3-tekken", SPLIT MISTRAL("", "[INST]{{ system ~ '\\n\\n' if loop.last and system else '' }}{{ m.content }}[/INST]"),
     {"[INST]", "[/INST]"}},
    {"mistral-v7", SPLIT "{% if system %}[SYSTEM_PROMPT] {{ system }}[/SYSTEM_PROMPT]{% endif %}"
                   MISTRAL(" ", "[INST] {{ m.content }}[/INST]"), {"[INST]", "[/INST]", "[SYSTEM_PROMPT]"}},
    {"mistral-v7-tekken", SPLIT "{% if system %}[SYSTEM_PROMPT]{{ system }}[/SYSTEM_PROMPT]{% endif %}"
                          MISTRAL("", "[INST]{{ m.content }}[/INST]"), {"[INST]", "[/INST]", "[SYSTEM_PROMPT]"}},
    {"phi3", EACH("<|{{ m.role }}|>\n{{ m.content }}<|end|>\n") "{{ '<|assistant|>\\n' }}", {"<|user|>", "<|assistant|>", "<|end|>"}},
    {"phi4-mini", EACH("<|{{ m.role }}|>{{ m.content }}<|end|>") "<|assistant|>", {"<|user|>", "<|assistant|>", "<|end|>"}},
    {"olmo2", "<|endoftext|>" EACH("<|{{ m.role }}|>\n{{ m.content }}{{ eos_token if m.role == 'assistant' else '' }}\n")
              "{{ '<|assistant|>\\n' }}", {"<|endoftext|>"}},
    {"granite", EACH("<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>\n")
                "<|start_of_role|>assistant<|end_of_role|>", {"<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"}},
    {NULL, NULL, {0}},
};
/* clang-format on */
