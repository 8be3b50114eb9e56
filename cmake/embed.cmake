# Turns the files of prompts/, recipes/, suites/ and data/, and those of pages, into one C file: a table of name, bytes
# and size (src/data/embedded.h reads it).
file(GLOB_RECURSE STE_EMBED_FILES CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/prompts/*.yaml ${PROJECT_SOURCE_DIR}/recipes/*.yaml ${PROJECT_SOURCE_DIR}/suites/*.yaml
     ${PROJECT_SOURCE_DIR}/data/*.yaml ${PROJECT_SOURCE_DIR}/data/*.jsonl
     ${PROJECT_SOURCE_DIR}/src/*/page/*.css ${PROJECT_SOURCE_DIR}/src/*/page/*.js
     ${PROJECT_SOURCE_DIR}/src/*/page/*.json)
set(STE_EMBEDDED ${CMAKE_BINARY_DIR}/embedded.c)
string(REPLACE ";" "\n" embed_list "${STE_EMBED_FILES}")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/embedded.list CONTENT "${embed_list}\n")
add_custom_command(
  OUTPUT ${STE_EMBEDDED}
  COMMAND sh ${PROJECT_SOURCE_DIR}/cmake/embed.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR}/embedded.list
          ${STE_EMBEDDED}
  DEPENDS ${STE_EMBED_FILES} ${CMAKE_BINARY_DIR}/embedded.list ${PROJECT_SOURCE_DIR}/cmake/embed.sh
  VERBATIM)
