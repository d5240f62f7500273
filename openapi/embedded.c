#include "openapi/embedded.h"

__asm__(".pushsection .rodata\n"
        ".globl embedded_contract_begin, embedded_contract_end\n"
        ".hidden embedded_contract_begin, embedded_contract_end\n"
        "embedded_contract_begin:\n"
        ".incbin \"" SLUICE_SOURCE_DIR "/openapi/openapi.yaml\"\n"
        "embedded_contract_end:\n"
        ".popsection\n");
extern const char embedded_contract_begin[], embedded_contract_end[];

struct text embedded_contract(void)
{
    /* The assembler puts one behind the other. */
    // cppcheck-suppress comparePointers
    return text_of(embedded_contract_begin, (size_t)(embedded_contract_end - embedded_contract_begin));
}
