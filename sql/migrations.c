#include "sql/migrations.h"

#define EMBED(symbol, file)                                                                                            \
    __asm__(".pushsection .rodata\n"                                                                                   \
            ".globl " #symbol "_begin, " #symbol "_end\n"                                                              \
            ".hidden " #symbol "_begin, " #symbol "_end\n" #symbol "_begin:\n"                                         \
            ".incbin \"" SLUICE_SOURCE_DIR "/sql/migrations/" file "\"\n" #symbol "_end:\n"                            \
            ".byte 0\n"                                                                                                \
            ".popsection\n");                                                                                          \
    extern const char symbol##_begin[], symbol##_end[]

EMBED(migration_0001, "0001_versions.sql");
EMBED(migration_0002, "0002_customers.sql");
EMBED(migration_0003, "0003_reader.sql");
EMBED(migration_0004, "0004_customer_data.sql");
EMBED(migration_0005, "0005_customer_admin.sql");
EMBED(migration_0006, "0006_revocation.sql");
EMBED(migration_0007, "0007_audit.sql");
EMBED(migration_0008, "0008_audit_rule.sql");

const struct migration migrations[] = {
    {"0001_versions", migration_0001_begin, migration_0001_end},
    {"0002_customers", migration_0002_begin, migration_0002_end},
    {"0003_reader", migration_0003_begin, migration_0003_end},
    {"0004_customer_data", migration_0004_begin, migration_0004_end},
    {"0005_customer_admin", migration_0005_begin, migration_0005_end},
    {"0006_revocation", migration_0006_begin, migration_0006_end},
    {"0007_audit", migration_0007_begin, migration_0007_end},
    {"0008_audit_rule", migration_0008_begin, migration_0008_end},
};
const size_t migrations_count = sizeof(migrations) / sizeof(migrations[0]);
