// Entry point of the command start_node.
#include "cli/start_node.hpp"

int main(int argc, char** argv) { return dc::cli::start_node(argc, argv); }
